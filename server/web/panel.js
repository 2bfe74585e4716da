// The dialog in which one chooses name, camera and microphone, before and while
// one publishes.

import { showPreview } from './controls.js';
import { listDevices, unavailable } from './devices.js';

const byId = (id) => document.getElementById(id);

// Panel calls `start(name)` when the user wants to publish; it throws what the
// panel has to say, or ends with published(). `cancelled()` is called when the user
// does not.
export class Panel {
  #publication;
  #start;
  #cancelled;
  #room;
  #dialog = byId('panel');
  #form = byId('panel').querySelector('form');
  #publishes = false;
  #busy = false;

  constructor({ room, name, publication, start, cancelled }) {
    this.#room = room;
    this.#publication = publication;
    this.#start = start;
    this.#cancelled = cancelled;
    this.#form.elements.name.value = name;
    this.#form.addEventListener('submit', (event) => this.#submitted(event));
    this.#form.addEventListener('change', ({ target }) => this.#chosen(target));
    this.#dialog.addEventListener('cancel', (event) => this.#busy && event.preventDefault());
    this.#dialog.addEventListener('close', () => this.#closed());
    this.#find('[data-panel=cancel]').addEventListener('click', () => this.#dialog.close());
    navigator.mediaDevices?.addEventListener('devicechange', () => this.#dialog.open && this.#list());
  }

  get isOpen() {
    return this.#dialog.open;
  }

  // open asks for devices when nothing is published yet.
  async open(publishes) {
    if (this.#dialog.open) {
      return;
    }
    this.#publishes = publishes;
    byId('panel-title').textContent = publishes ? 'Camera and microphone' : `Publish in room ${this.#room}`;
    byId('panel-name').hidden = publishes;
    this.#find('[data-panel=cancel]').hidden = publishes;
    this.#find('[data-panel=start]').textContent = publishes ? 'Done' : 'Publish';
    this.problem('');
    this.#dialog.showModal();
    const missing = unavailable();
    this.#find('[data-panel=start]').disabled = missing !== '';
    if (missing) {
      this.problem(missing);
    } else if (!publishes) {
      await this.#publication.open();
    }
    await this.#list();
  }

  // published closes it without giving the devices back.
  published() {
    this.#publishes = true;
    this.close();
  }

  close() {
    this.#dialog.close();
  }

  problem(text) {
    byId('panel-problem').textContent = text;
  }

  update() {
    if (this.#dialog.open) {
      showPreview(this.#find('[data-preview]'), this.#publication);
      this.#select('camera');
      this.#select('audio');
    }
  }

  async #list() {
    const { audio, video } = await listDevices();
    this.#fill('camera', 'No camera', video);
    this.#fill('audio', 'No microphone', audio);
    this.update();
  }

  #fill(source, none, devices) {
    const options = [new Option(none, ''), ...devices.map(({ id, label }) => new Option(label, id))];
    this.#form.elements[source].replaceChildren(...options);
  }

  #select(source) {
    const select = this.#form.elements[source];
    const device = this.#publication.device(source);
    if ([...select.options].some(({ value }) => value === device)) {
      select.value = device;
    }
  }

  async #chosen({ name, value }) {
    if (name === 'camera' || name === 'audio') {
      await this.#publication.use(name, value === '' ? null : value);
      this.update();
    }
  }

  async #submitted(event) {
    event.preventDefault();
    if (this.#publishes) {
      this.#dialog.close();
      return;
    }
    const { name } = this.#form.elements;
    name.value = name.value.trim().replace(/\s+/g, '-');
    if (!this.#form.reportValidity()) {
      return; // nothing but blanks
    }
    const button = this.#find('[data-panel=start]');
    this.#busy = button.disabled = true;
    try {
      await this.#start(name.value);
    } catch ({ message }) {
      this.problem(message);
    } finally {
      this.#busy = button.disabled = false;
    }
  }

  #closed() {
    if (!this.#publishes) {
      this.#cancelled();
    }
  }

  #find(selector) {
    return this.#dialog.querySelector(selector);
  }
}
