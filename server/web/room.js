// The room as this viewer sees it: the members by name, kept in step with what
// the relay tells.

import { Member } from './member.js';
import { Signalling } from './signalling.js';

const endedShown = 30_000; // ms that a member stays to be seen after its end

// Room calls its handlers:
//   relay(state, reason)  as Signalling's state
//   changed(member)       a member is new, or its state or stream changed
//   removed(member)       its end has been shown long enough
// and asks for what Signalling and Member want to know.
export class Room {
  #members = new Map();
  #removals = new Map();
  #configuration;
  #handlers;
  #signalling;

  constructor(url, name, { configuration, newUid, prepare, ...handlers }) {
    this.#configuration = configuration;
    this.#handlers = handlers;
    this.#signalling = new Signalling(url, name, {
      newUid,
      prepare,
      state: (state, reason) => this.#relayChanged(state, reason),
      members: (uids) => this.#entered(uids),
      joined: (uid) => this.#member(uid).joined(),
      left: (uid) => this.#members.get(uid)?.left(),
      message: (uid, text) => this.#members.get(uid)?.receive(text),
    });
  }

  get members() {
    return [...this.#members.values()];
  }

  enter() {
    this.#signalling.connect();
  }

  nudge() {
    this.#signalling.nudge();
  }

  close() {
    this.#signalling.close();
    this.members.forEach((member) => this.#remove(member));
  }

  #relayChanged(state, reason) {
    if (state === 'lost') {
      this.members.forEach((member) => member.unreachable());
    }
    this.#handlers.relay(state, reason);
  }

  #entered(uids) {
    this.members.filter(({ uid }) => !uids.includes(uid)).forEach((member) => member.missing());
    uids.forEach((uid) => this.#member(uid).found());
  }

  #member(uid) {
    let member = this.#members.get(uid);
    if (!member) {
      member = new Member(uid, {
        configuration: this.#configuration,
        send: (to, negotiation) => this.#signalling.send(to, negotiation),
        changed: () => this.#memberChanged(member),
      });
      this.#members.set(uid, member);
      this.#handlers.changed(member);
    }
    return member;
  }

  #memberChanged(member) {
    const { uid, state } = member;
    if (state !== 'ended') {
      clearTimeout(this.#removals.get(uid));
      this.#removals.delete(uid);
    } else if (!this.#removals.has(uid)) {
      this.#removals.set(uid, setTimeout(() => this.#remove(member), endedShown));
    }
    this.#handlers.changed(member);
  }

  #remove(member) {
    clearTimeout(this.#removals.get(member.uid));
    this.#removals.delete(member.uid);
    this.#members.delete(member.uid);
    member.close();
    this.#handlers.removed(member);
  }
}
