// One registration at the relay and what it is for: as a viewer, or as a full
// member that sends.

import { Signalling } from './signalling.js';

// Membership hands what Signalling tells to `handlers`, with itself as the first
// argument. `outgoing` is what we publish, or null for a viewer.
export class Membership {
  outgoing;
  #signalling;

  constructor(url, room, { outgoing, newUid, chosen, prepare, hurried, ...handlers }) {
    this.outgoing = outgoing;
    const bound = Object.entries(handlers).map(([name, handle]) => [name, (...told) => handle(this, ...told)]);
    this.#signalling = new Signalling(url, room, { newUid, chosen, prepare, hurried, ...Object.fromEntries(bound) });
  }

  get uid() {
    return this.#signalling.uid;
  }

  connect() {
    this.#signalling.connect();
  }

  send(uid, negotiation) {
    this.#signalling.send(uid, negotiation);
  }

  nudge() {
    this.#signalling.nudge();
  }

  check() {
    this.#signalling.check();
  }

  close() {
    this.#signalling.close();
  }
}
