// The view of one member: its picture, its name, its state in words, and the
// controls that belong to it.

import { Player } from './player.js';
import { figures, words } from './stats.js';

const figuresInterval = 1_000; // ms
const idleAfter = 3_000; // ms without the pointer until the controls fade

const stateWords = {
  connecting: 'connecting',
  live: 'live',
  watching: 'sends nothing',
  reconnecting: 'reconnecting',
  ended: 'ended',
  'no-codec': 'no common codec',
};

const soundControls = {
  on: { label: 'Mute', icon: '#icon-speaker' },
  off: { label: 'Turn sound on', icon: '#icon-silent' },
  refused: { label: 'Turn sound on', icon: '#icon-silent' },
};

// Tile brings `element` in step with its member whenever update() is called. The
// attribute data-state has the member's state, data-sound the player's sound,
// data-picture is there once there is a picture.
export class Tile {
  element;
  #member;
  #player;
  #changed;
  #figuresTimer = null;
  #idleTimer = null;

  // `changed(tile)` is called when `state` or `soundRefused` may have changed.
  constructor(member, template, changed) {
    this.#member = member;
    this.#changed = changed;
    this.element = template.content.cloneNode(true).firstElementChild;
    this.element.dataset.uid = member.uid;
    this.element.setAttribute('aria-label', member.uid);
    this.#find('.name').textContent = member.uid;
    this.#player = new Player(this.#video, () => this.update());
    this.#video.addEventListener('resize', () => this.#showShape());
    this.element.addEventListener('click', (event) => this.#clicked(event));
    this.element.addEventListener('dblclick', (event) => this.#doubleClicked(event));
    for (const type of ['pointermove', 'pointerdown', 'focusin']) {
      this.element.addEventListener(type, () => this.#wake());
    }
    this.#wake();
  }

  get state() {
    return this.#member.state;
  }

  get stateWords() {
    return stateWords[this.state];
  }

  get soundRefused() {
    return this.state === 'live' && this.#player.sound === 'refused';
  }

  update() {
    const { stream } = this.#member;
    if (stream) {
      this.#player.show(stream);
    }
    this.element.dataset.state = this.state;
    this.#showShape();
    this.#find('.state').textContent = this.stateWords;
    this.#find('.explanation').textContent = this.#explanation();
    this.#find('.emblem use').setAttribute('href', this.#soundOnly ? '#icon-speaker' : '#icon-screen');
    this.#find('[data-action=play]').hidden = !(this.state === 'live' && this.#player.stopped);
    this.#showSound();
    this.#changed(this);
  }

  resume() {
    if (this.#player.stopped) {
      this.#player.resume();
    }
  }

  turnSoundOn() {
    this.#player.setSound(true);
  }

  toggleSound() {
    this.#player.setSound(this.#player.sound !== 'on');
  }

  toggleFigures() {
    const shown = this.#figuresTimer === null;
    this.#find('.figures').hidden = !shown;
    this.#find('[data-action=figures]').setAttribute('aria-expanded', shown);
    clearInterval(this.#figuresTimer);
    this.#figuresTimer = null;
    if (shown) {
      let previous;
      const show = async () => {
        previous = await this.#showFigures(previous);
      };
      this.#figuresTimer = setInterval(show, figuresInterval);
      show();
    }
  }

  toggleFullscreen() {
    if (document.fullscreenElement === this.element) {
      document.exitFullscreen();
    } else if (this.element.requestFullscreen) {
      this.element.requestFullscreen().catch((error) => console.debug('no full screen:', error));
    } else {
      this.#video.webkitEnterFullscreen?.(); // iPhone: a video only
    }
  }

  remove() {
    clearInterval(this.#figuresTimer);
    clearTimeout(this.#idleTimer);
    this.#video.srcObject = null;
    this.element.remove();
  }

  get #soundOnly() {
    return this.state === 'live' && !this.#hasPicture;
  }

  get #hasPicture() {
    return (this.#member.stream?.getVideoTracks().length ?? 0) > 0;
  }

  get #video() {
    return this.#find('video');
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  #clicked({ target }) {
    switch (target.closest('button')?.dataset.action) {
      case 'sound':
        return this.toggleSound();
      case 'figures':
        return this.toggleFigures();
      case 'fullscreen':
        return this.toggleFullscreen();
      case 'play':
        return this.#player.resume();
    }
  }

  #doubleClicked({ target }) {
    if (!target.closest('button')) {
      this.toggleFullscreen();
    }
  }

  #wake() {
    delete this.element.dataset.idle;
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      this.element.dataset.idle = '';
    }, idleAfter);
  }

  #showShape() {
    const { videoWidth, videoHeight } = this.#video;
    if (this.#hasPicture && videoWidth > 0 && videoHeight > 0) {
      this.element.dataset.picture = '';
      this.element.style.setProperty('--ratio', videoWidth / videoHeight);
    } else {
      delete this.element.dataset.picture;
      this.element.style.removeProperty('--ratio');
    }
  }

  #showSound() {
    const { sound } = this.#player;
    this.element.dataset.sound = sound;
    const button = this.#find('[data-action=sound]');
    const control = this.state === 'live' && soundControls[sound];
    button.hidden = !control;
    if (control) {
      button.setAttribute('aria-label', control.label);
      button.title = `${control.label} (m)`;
      button.querySelector('use').setAttribute('href', control.icon);
    }
  }

  async #showFigures(previous) {
    if (document.hidden) {
      return previous;
    }
    const now = figures(await this.#member.getStats(), previous);
    for (const [figure, text] of Object.entries(words(now))) {
      this.#find(`[data-figure=${figure}]`).textContent = text;
    }
    return now;
  }

  #explanation() {
    const { uid, refusal } = this.#member;
    switch (this.state) {
      case 'connecting':
        return `Connecting to ${uid}…`;
      case 'reconnecting':
        return `The connection to ${uid} broke. Reconnecting…`;
      case 'ended':
        return `${uid} left the room.`;
      case 'no-codec':
        return explainRefusal(uid, refusal);
      default:
        return this.#soundOnly ? 'Sound only' : '';
    }
  }
}

function explainRefusal(uid, { weOffered, codecs }) {
  const list = [...codecs.video, ...codecs.audio].join(', ') || 'no codec';
  return weOffered
    ? `${uid} sends nothing, or in none of the codecs that this browser plays: ${list}.`
    : `This browser plays none of the codecs that ${uid} offers: ${list}.`;
}
