// One member of the room that may send to us, through all the connections that
// it takes: decides when to offer, when to wait, and when to try again.

import { Backoff } from './backoff.js';
import { Connection } from './connection.js';
import { parseNegotiation } from './protocol.js';

const attemptLimit = 15_000; // ms from an attempt's start to a working transport
const returnLimit = 5_000; // ms that a broken transport may take to come back by itself
const flowCheck = 1_500; // ms to see whether media still comes in

// Member reports to `changed(member)` when `state` or `stream` may have changed.
// States: 'connecting', 'live', 'reconnecting', 'ended', 'no-codec'.
//
// A connection that takes another's place runs beside it as `next` until its
// own media comes, so that a picture is replaced and never interrupted.
export class Member {
  uid;
  #configuration;
  #send;
  #changed;
  #backoff = new Backoff();
  #place = 'here'; // in the room: 'here', 'gone', or 'unknown' without a relay
  #current = null;
  #next = null;
  #refused = null; // the offer that found no common codec
  #tried = false;
  #limitTimer = null;
  #returnTimer = null;
  #retryTimer = null;

  constructor(uid, { configuration, send, changed }) {
    this.uid = uid;
    this.#configuration = configuration;
    this.#send = send;
    this.#changed = changed;
  }

  get state() {
    if (this.#current?.status === 'live') {
      return 'live';
    }
    if (this.#place === 'gone') {
      return 'ended';
    }
    if (this.#refused) {
      return 'no-codec';
    }
    return this.#tried || this.#current ? 'reconnecting' : 'connecting';
  }

  // stream is what to show: null before the first media.
  get stream() {
    return this.#current?.stream ?? null;
  }

  // refusal tells about the offer that led to the state 'no-codec': who made it
  // and which codecs it named.
  get refusal() {
    return this.#refused;
  }

  async getStats() {
    return this.#current ? [...(await this.#current.getStats()).values()] : [];
  }

  // found: it was in the room when we came, so the offer is ours.
  found() {
    this.#arrive(() => this.#offer());
  }

  // joined: it came after us, so the offer is its own.
  joined() {
    this.#arrive(() => this.#awaitOffer());
  }

  // left ends the member, whatever still runs.
  left() {
    this.#place = 'gone';
    this.#refused = null;
    this.#tried = false;
    this.close();
    this.#changed(this);
  }

  // missing: it is not in the room as far as the relay knows. Its media may run
  // all the same, after the relay itself was away.
  missing() {
    this.#place = 'gone';
    this.#abandon();
    this.#changed(this);
  }

  // unreachable: there is no relay to negotiate through for the time being.
  unreachable() {
    this.#place = 'unknown';
    clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
  }

  receive(text) {
    const negotiation = parseNegotiation(text);
    if (negotiation === null) {
      console.debug(`${this.uid}: not a negotiation message`);
    } else if (negotiation.sdp?.type === 'offer') {
      this.#receiveOffer(negotiation);
    } else {
      (this.#next ?? this.#current ?? this.#begin()).receive(negotiation);
    }
  }

  close() {
    this.#abandon();
    clearTimeout(this.#returnTimer);
    this.#current?.close();
    this.#current = null;
  }

  async #arrive(negotiate) {
    this.#place = 'here';
    this.#refused = null;
    if (this.#next?.negotiated) {
      return; // it goes on without the relay
    }
    const current = this.#current;
    if (current?.status === 'live') {
      if (await current.flowing(flowCheck)) {
        return;
      }
      if (current !== this.#current || this.#next || this.#place !== 'here') {
        return; // the wait was overtaken
      }
    }
    negotiate();
    this.#changed(this);
  }

  #offer() {
    this.#begin().offer();
  }

  // An unused connection keeps what comes before the offer, and bounds the wait.
  #awaitOffer() {
    this.#begin();
  }

  #receiveOffer(negotiation) {
    this.#refused = null;
    const taker = [this.#next, this.#current].find((connection) => connection?.takes(negotiation.sdp));
    (taker ?? this.#begin()).receive(negotiation);
    this.#changed(this);
  }

  #begin() {
    this.#abandon();
    this.#next = new Connection({
      configuration: this.#configuration(),
      send: (negotiation) => this.#send(this.uid, negotiation),
      changed: (connection) => this.#connectionChanged(connection),
    });
    this.#limitTimer = setTimeout(() => this.#attemptFailed(), attemptLimit);
    return this.#next;
  }

  #abandon() {
    clearTimeout(this.#limitTimer);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#next?.close();
    this.#next = null;
  }

  #connectionChanged(connection) {
    if (connection.status === 'refused') {
      this.#refuse(connection);
    } else if (connection === this.#next) {
      this.#nextChanged(connection.status);
    } else {
      this.#currentChanged(connection.status);
    }
    this.#changed(this);
  }

  #refuse(connection) {
    this.#refused = connection.offered;
    this.close();
  }

  #nextChanged(status) {
    if (status === 'connected') {
      clearTimeout(this.#limitTimer);
    } else if (status === 'live') {
      this.#promote();
    } else if (status === 'failed') {
      this.#attemptFailed();
    }
  }

  #promote() {
    clearTimeout(this.#limitTimer);
    clearTimeout(this.#returnTimer);
    this.#current?.close();
    this.#current = this.#next;
    this.#next = null;
    this.#backoff.succeeded();
  }

  #currentChanged(status) {
    clearTimeout(this.#returnTimer);
    if (status === 'disconnected') {
      this.#returnTimer = setTimeout(() => this.#currentFailed(), returnLimit);
    } else if (status === 'failed') {
      this.#currentFailed();
    }
  }

  // The broken connection stays open until another takes its place: closing it
  // would blacken its last picture.
  #currentFailed() {
    if (this.#next === null) {
      this.#retry();
    }
    this.#changed(this);
  }

  #attemptFailed() {
    this.#tried = true;
    this.#abandon();
    if (this.#current?.status !== 'live') {
      this.#retry();
    }
    this.#changed(this);
  }

  #retry() {
    if (this.#place === 'here' && this.#retryTimer === null) {
      this.#retryTimer = setTimeout(() => this.#offer(), this.#backoff.next());
    }
  }
}
