// The bar of somebody who publishes: what the others see, and the buttons for it.
// It knows the publication and text, no WebRTC and no relay.

import { canShareScreen } from './devices.js';

const byId = (id) => document.getElementById(id);

const mutes = {
  audio: { name: 'microphone', on: '#icon-microphone', off: '#icon-microphone-off' },
  camera: { name: 'camera', on: '#icon-screen', off: '#icon-camera-off' },
};

// showPreview shows a publication in an element that has a video. One sees
// oneself as in a mirror, and what one shares as the others do.
export function showPreview(element, publication) {
  const video = element.querySelector('video');
  const picture = publication.video && !(publication.muted('camera') && !publication.has('screen'));
  element.toggleAttribute('data-picture', Boolean(picture));
  element.toggleAttribute('data-mirrored', !publication.has('screen'));
  const stream = picture ? publication.stream : null; // one without tracks would load for ever
  if (video.srcObject !== stream) {
    video.muted = true; // the attribute alone is for the first stream
    video.srcObject = stream;
    video.play().catch(() => {}); // overtaken by another stream
  }
}

// Controls calls `actions.devices()`, `.stop()` and `.leave()`.
export class Controls {
  #publication;
  #actions;
  #bar = byId('controls');

  constructor(publication, actions) {
    this.#publication = publication;
    this.#actions = actions;
    this.#bar.addEventListener('click', ({ target }) => this.#clicked(target.closest('button')?.dataset.publish));
    this.#button('screen').hidden = !canShareScreen();
  }

  // show brings the bar up for somebody of that name.
  show(name) {
    byId('own-name').textContent = name;
    this.#bar.hidden = false;
    this.problem('');
    this.update();
    this.#button('audio').focus();
  }

  hide() {
    this.#bar.hidden = true;
  }

  problem(text) {
    byId('problem').textContent = text;
  }

  update() {
    if (this.#bar.hidden) {
      return;
    }
    showPreview(this.#bar.querySelector('[data-preview]'), this.#publication);
    this.#showMute('audio');
    this.#showMute('camera');
    const shares = this.#publication.has('screen');
    this.#button('screen').setAttribute('aria-pressed', shares);
    this.#label('screen', shares ? 'Stop sharing' : 'Share screen');
  }

  // The label stays what is muted; that it is says aria-pressed.
  #showMute(source) {
    const { name, on, off } = mutes[source];
    const button = this.#button(source);
    const there = this.#publication.has(source);
    const muted = there && this.#publication.muted(source);
    button.setAttribute('aria-pressed', muted);
    this.#label(source, there ? `Mute ${name}` : `Switch ${name} on`);
    button.querySelector('use').setAttribute('href', there && !muted ? on : off);
  }

  // The title is for where there is no place for the words.
  #label(name, text) {
    const button = this.#button(name);
    button.title = text;
    button.querySelector('span').textContent = text;
  }

  #clicked(button) {
    const publication = this.#publication;
    switch (button) {
      case 'audio':
      case 'camera':
        return publication.has(button) ? publication.mute(button, !publication.muted(button)) : this.#switchOn(button);
      case 'screen':
        return publication.has('screen') ? publication.stopSharing() : publication.shareScreen();
      case 'devices':
      case 'stop':
      case 'leave':
        return this.#actions[button]();
    }
  }

  async #switchOn(source) {
    this.#publication.mute(source, false);
    await this.#publication.use(source, '');
  }

  #button(name) {
    return this.#bar.querySelector(`[data-publish=${name}]`);
  }
}
