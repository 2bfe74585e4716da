// One member of the room that may send to us, through all the connections that
// it takes: decides when to offer, when to wait, and when to try again.

import { Backoff } from './backoff.js';
import { Connection } from './connection.js';
import { parseNegotiation } from './protocol.js';
import { sendsMedia } from './sdp.js';

const attemptLimit = 15_000; // ms from an attempt's start to a working transport
const returnLimit = 5_000; // ms that a broken transport may take to come back by itself
const flowCheck = 1_500; // ms to see whether media still comes in
const answerTime = 3_000; // ms in which an attempt gets somewhere where the network works

// The members of a room mostly know at once whether their network is back, so
// that an attempt which fails costs little more than the packets of its checks.
const longestPause = 8_000; // ms between two attempts

// Member reports to `changed(member)` when `state`, `stream` or `shown` may have
// changed, and to `text(text)` what the member says on a data channel. States:
// 'connecting', 'live', 'watching' (it receives only), 'reconnecting', 'ended',
// 'no-codec'. `via()` is the Membership by which we are in the room; the
// connections that an earlier one made run on until new ones take their places.
//
// A connection that takes another's place runs beside it as `next` until its
// own media comes, so that a picture is replaced and never interrupted.
export class Member {
  uid;
  #configuration;
  #via;
  #changed;
  #text;
  #backoff = new Backoff({ most: longestPause });
  #place = 'here'; // in the room: 'here', 'gone', or 'unknown' without a relay
  #current = null;
  #next = null;
  #refused = null; // the offer that found no common codec
  #tried = false;
  #sends = null; // whether it sends media, as far as it has told
  #ignores = false; // an offer that had to give way, and its candidates
  #limitTimer = null;
  #returnTimer = null;
  #retryTimer = null;

  constructor(uid, { configuration, via, changed, text }) {
    this.uid = uid;
    this.#configuration = configuration;
    this.#via = via;
    this.#changed = changed;
    this.#text = text;
  }

  get state() {
    if (this.#current?.status === 'live') {
      return this.#current.receives ? 'live' : this.#sends ? 'no-codec' : 'watching';
    }
    if (this.#place === 'gone') {
      return 'ended';
    }
    if (this.#refused) {
      return 'no-codec';
    }
    return this.#tried || this.#current ? 'reconnecting' : 'connecting';
  }

  // watches: it takes what others send, and sends nothing itself.
  get watches() {
    return this.#sends === false || this.state === 'watching';
  }

  // shown: there is something to see of it, or to say about it. Who publishes
  // meets viewers too, so it takes a moment to know.
  get shown() {
    return this.#sends ?? (this.#via().outgoing === null || this.#tried || this.#refused !== null);
  }

  // stream is what to show: null before the first media.
  get stream() {
    return this.#current?.stream ?? null;
  }

  // refusal tells about the offer that led to the state 'no-codec': who made it
  // and which codecs it named.
  get refusal() {
    return this.#refused ?? this.#current?.offered;
  }

  async getStats() {
    return this.#current ? [...(await this.#current.getStats()).values()] : [];
  }

  // sendText tells whether the text is on its way.
  sendText(text) {
    return this.#current?.sendText(text) ?? false;
  }

  // outgoingChanged sends the member what we publish now.
  outgoingChanged() {
    this.#next?.outgoingChanged();
    this.#current?.outgoingChanged();
    if (!this.#next && this.#current?.status !== 'live' && this.#place === 'here') {
      this.#offer(); // so far there may have been nothing to agree on
    }
  }

  // reliesOn tells whether what runs was negotiated by that membership.
  reliesOn(membership) {
    return this.#place === 'here' && this.#current?.via === membership && this.#current.status === 'live';
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

  // hurry says that the network may be back: what waits need not wait longer.
  hurry() {
    if (this.#place === 'here' && (this.#retryTimer !== null || this.#stuck)) {
      this.#offer();
    }
  }

  receive(text) {
    const negotiation = parseNegotiation(text);
    if (negotiation === null) {
      console.debug(`${this.uid}: not a negotiation message`);
      return;
    }
    if (negotiation.sdp) {
      this.#ignores = false;
      this.#sends = sendsMedia(negotiation.sdp.sdp) ?? (this.state === 'live' ? false : this.#sends);
    }
    if (negotiation.sdp?.type === 'offer') {
      this.#receiveOffer(negotiation);
    } else if (!this.#ignores) {
      this.#taker(negotiation).receive(negotiation);
    }
  }

  #taker({ sdp }) {
    if (sdp && this.#current?.takesAnswer(sdp)) {
      return this.#current;
    }
    const own = [this.#next, this.#current].find((connection) => connection?.via === this.#via());
    return own ?? this.#begin();
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
    const via = this.#via();
    if (this.#next?.negotiated && this.#next.via === via && !this.#stuck) {
      return; // it goes on without the relay
    }
    const current = this.#current;
    if (current?.status === 'live' && current.via === via) {
      if (await current.flowing(flowCheck)) {
        current.remind();
        return;
      }
      if (current !== this.#current || this.#next || this.#place !== 'here') {
        return; // the wait was overtaken
      }
    }
    negotiate();
    this.#changed(this);
  }

  // An attempt that has got nowhere although there was time.
  get #stuck() {
    return this.#next?.status === 'connecting' && this.#next.age > answerTime;
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
    const own = [this.#next, this.#current].filter((connection) => connection?.via === this.#via());
    const taker = own.find((connection) => connection.takes(negotiation.sdp));
    if (!taker && this.#next?.insists) {
      this.#ignores = true;
      return;
    }
    (taker ?? this.#begin()).receive(negotiation);
    this.#changed(this);
  }

  #begin() {
    this.#abandon();
    const via = this.#via();
    this.#next = new Connection({
      configuration: this.#configuration(),
      outgoing: via.outgoing,
      polite: via.uid < this.uid,
      send: (negotiation) => via.send(this.uid, negotiation),
      changed: (connection) => this.#connectionChanged(connection),
      text: (text) => this.#text(text),
    });
    this.#next.via = via;
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
    if (this.#place === 'here' && this.#retryTimer === null && !this.#pointless) {
      this.#retryTimer = setTimeout(() => this.#offer(), this.#backoff.next());
    }
  }

  // Neither side has anything to send, as far as is known.
  get #pointless() {
    const { outgoing } = this.#via();
    const silent = outgoing === null ? this.#sends === false : !this.#sends;
    return silent && !outgoing?.audio && !outgoing?.video;
  }
}
