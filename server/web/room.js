// The room as this page sees it: the members by name, kept in step with what
// the relay tells. We are in it as a viewer, or as a full member that publishes.

import { Member } from './member.js';
import { Membership } from './membership.js';

const endedShown = 30_000; // ms that a member stays to be seen after its end
const handover = 8_000; // ms for pictures to come by a new membership

// Room calls its handlers:
//   relay(state, reason)  as Signalling's state
//   changed(member)       a member is new, or its state or stream changed
//   removed(member)       its end has been shown long enough
//   text(member, text)    a member said something on a data channel
// and asks for what Signalling and Member want to know, and for
//   relayUrl(publishes)   where the relay takes a viewer or a full member
export class Room {
  #name;
  #members = new Map();
  #removals = new Map();
  #options;
  #handlers;
  #membership = null; // by which we are in the room
  #successor = null; // about to take its place
  #former = null; // whose place was taken, until what it negotiated is replaced
  #formerTimer = null;
  #held = []; // what we were told of our successor's name

  constructor(name, { relayUrl, configuration, newUid, prepare, ...handlers }) {
    this.#name = name;
    this.#options = { relayUrl, configuration, newUid, prepare };
    this.#handlers = handlers;
  }

  get members() {
    return [...this.#members.values()];
  }

  get publishes() {
    return Boolean(this.#membership?.outgoing);
  }

  get uid() {
    return this.#membership?.uid;
  }

  enter() {
    this.#membership = this.#register(this.#options.newUid, null);
    this.#membership.connect();
  }

  // publish makes us a full member of that name that sends `outgoing`, without a
  // break in what we see. It rejects with the relay's words if that fails, and
  // we are what we were.
  publish(uid, outgoing) {
    return this.#become(this.#register(this.#names(uid), outgoing));
  }

  // stopPublishing makes us a viewer again, whatever the relay says.
  stopPublishing() {
    return this.#become(this.#register(this.#options.newUid, null));
  }

  // outgoingChanged: what we publish has other tracks now. To stop takes no
  // negotiation, as we leave.
  outgoingChanged() {
    if (this.publishes && this.#successor?.outgoing !== null) {
      this.members.forEach((member) => member.outgoingChanged());
    }
  }

  // nudge says that the network or the page just came back.
  nudge() {
    this.#membership?.nudge();
    this.members.forEach((member) => member.hurry());
  }

  close() {
    this.#dropFormer();
    const successor = this.#successor;
    successor?.close();
    this.#membership?.close();
    this.#successor = this.#membership = null;
    successor?.settle(successor.outgoing && 'the room was left');
    this.members.forEach((member) => this.#remove(member));
  }

  #register(newUid, outgoing) {
    const { relayUrl, prepare } = this.#options;
    const membership = new Membership(relayUrl(outgoing !== null), this.#name, {
      outgoing,
      newUid,
      chosen: outgoing !== null,
      prepare,
      hurried: () => this.#waits,
      state: (by, state, reason) => this.#relayChanged(by, state, reason),
      members: (by, uids) => by === this.#membership && this.#entered(uids),
      joined: (by, uid) => this.#heed(by, uid, () => this.#member(uid).joined()),
      left: (by, uid) => this.#heed(by, uid, () => this.#members.get(uid)?.left()),
      message: (by, uid, text) => this.#heed(by, uid, () => this.#members.get(uid)?.receive(text)),
    });
    return membership;
  }

  // Who publishes keeps its name as long as there is hope that what holds it is
  // its own past.
  #names(uid) {
    let refusals = 0;
    return () => (refusals++ < 8 ? uid : `${uid}-${refusals}`);
  }

  // Nothing is to be taken from a former membership, or about ourselves. Whether
  // our successor's name is ours shows when it is registered.
  #heed(by, uid, take) {
    if (uid === this.#successor?.uid) {
      this.#held.push(() => this.#heed(by, uid, take));
    } else if (by === this.#membership && uid !== by.uid && uid !== this.#former?.uid) {
      take();
    }
  }

  // Somebody waits for a picture.
  get #waits() {
    return this.#members.size === 0 || this.members.some(({ state }) => state !== 'live' && state !== 'watching');
  }

  #become(successor) {
    this.#successor?.close();
    this.#successor = successor;
    if (successor.uid === this.#membership.uid) {
      this.#membership.close(); // a token may allow one name only
    }
    return new Promise((resolve, reject) => {
      successor.settle = (refusal) => (refusal === null ? resolve() : reject(new Error(refusal)));
      successor.connect();
    });
  }

  #relayChanged(by, state, reason) {
    if (by === this.#successor && state !== 'connecting') {
      this.#successorChanged(by, state, reason);
    }
    if (by !== this.#membership) {
      return;
    }
    if (state === 'lost') {
      this.members.forEach((member) => member.unreachable());
    }
    this.#handlers.relay(state, reason);
  }

  #successorChanged(successor, state, reason) {
    this.#successor = null;
    if (state === 'joined' || successor.outgoing === null) {
      this.#dropFormer();
      this.#former = this.#membership;
      this.#membership = successor;
      this.#formerTimer = setTimeout(() => this.#dropFormer(), handover);
      successor.settle(null);
    } else {
      successor.close();
      if (successor.uid === this.#membership.uid) {
        this.#membership.connect();
      }
      successor.settle(reason || 'the relay is out of reach');
    }
    this.#held.splice(0).forEach((take) => take());
  }

  #dropFormer() {
    clearTimeout(this.#formerTimer);
    this.#former?.close();
    this.#former = null;
  }

  #entered(uids) {
    this.members.filter(({ uid }) => !uids.includes(uid)).forEach((member) => member.missing());
    uids.forEach((uid) => this.#heed(this.#membership, uid, () => this.#member(uid).found()));
    this.#handOver();
  }

  #handOver() {
    if (this.#former && !this.members.some((member) => member.reliesOn(this.#former))) {
      this.#dropFormer();
    }
  }

  #member(uid) {
    let member = this.#members.get(uid);
    if (!member) {
      member = new Member(uid, {
        configuration: this.#options.configuration,
        via: () => this.#membership,
        changed: () => this.#memberChanged(member),
        text: (text) => this.#handlers.text(member, text),
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
    if (state === 'reconnecting') {
      this.#membership?.check(); // the relay may be gone the same way
    }
    this.#handlers.changed(member);
    this.#handOver();
  }

  #remove(member) {
    clearTimeout(this.#removals.get(member.uid));
    this.#removals.delete(member.uid);
    this.#members.delete(member.uid);
    member.close();
    this.#handlers.removed(member);
  }
}
