// Publishing from beginning to end: between the panel, the bar, what is published
// and the room.

import { Controls } from './controls.js';
import { Panel } from './panel.js';
import { Publication } from './publication.js';

// Publishing calls `changed()` when `active` has changed, `stopped()` when the user
// has stopped it, and `leave()` when the user wants to leave the room.
export class Publishing {
  #room;
  #changed;
  #stopped;
  #publication;
  #panel;
  #controls;

  constructor({ room, roomName, name, changed, stopped, leave }) {
    this.#room = room;
    this.#changed = changed;
    this.#stopped = stopped;
    this.#publication = new Publication({
      changed: () => this.#publicationChanged(),
      problem: (text) => this.#problem(text),
    });
    this.#panel = new Panel({
      room: roomName,
      name,
      publication: this.#publication,
      start: (uid) => this.#start(uid),
      cancelled: () => this.#publication.stop(),
    });
    this.#controls = new Controls(this.#publication, {
      devices: () => this.#panel.open(true),
      stop: () => this.stop(),
      leave,
    });
  }

  get active() {
    return this.#room.publishes;
  }

  open() {
    return this.#panel.open(this.active);
  }

  async stop() {
    const stopped = this.#room.stopPublishing();
    this.end();
    await stopped;
    this.#changed();
    this.#stopped();
  }

  // end gives the devices back, whatever becomes of the room.
  end() {
    this.#panel.close();
    this.#controls.hide();
    this.#publication.stop();
    this.#changed();
  }

  async #start(uid) {
    this.#problem('');
    try {
      await this.#room.publish(uid, this.#publication);
    } catch ({ message }) {
      throw new Error(explain(uid, message));
    }
    this.#panel.published(); // first, for it leaves the focus where it was before
    this.#controls.show(uid);
    this.#changed();
  }

  #publicationChanged() {
    this.#room.outgoingChanged();
    this.#panel.update();
    this.#controls.update();
  }

  #problem(text) {
    this.#panel.problem(text);
    this.#controls.problem(text);
  }
}

function explain(uid, reason) {
  return reason === 'invalid peer uid'
    ? `The name ${uid} is taken, or the relay does not take it. Choose another one.`
    : `The relay does not let you publish: ${reason}.`;
}
