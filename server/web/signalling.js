// The client of the relay: registers, joins one room, and does both again for
// as long as the page lives.

import { Backoff } from './backoff.js';
import { hello, joinRoom, listRoom, parse, toMember } from './protocol.js';

const answerLimit = 10_000; // for the relay to accept us, then for any answer
const probeInterval = 25_000;

// Signalling calls its handlers:
//   state(state, reason)  'connecting', 'joined', 'lost' (it tries again by
//                         itself) or 'refused' (it does not)
//   members(uids)         who was in the room when we joined it
//   joined(uid), left(uid), message(uid, text)
// and asks its owner for two things:
//   newUid()              a name that may be free
//   prepare(uid)          what has to be done before joining, side by side with
//                         the connecting; rejects with why we may not join
export class Signalling {
  uid;
  #url;
  #room;
  #handlers;
  #backoff = new Backoff();
  #socket = null;
  #joined = false;
  #prepared = null;
  #retryTimer = null;
  #limitTimer = null;
  #probeTimer = null;

  constructor(url, room, handlers) {
    this.#url = url;
    this.#room = room;
    this.#handlers = handlers;
    this.uid = handlers.newUid();
  }

  connect() {
    this.#clearTimers();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#handlers.state('connecting');
    this.#expectAnswer();
    this.#prepared = this.#handlers.prepare(this.uid);
    this.#prepared.catch(({ message }) => this.#joined || this.#refuse(message));
    socket.onopen = () => socket.send(hello(this.uid));
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#lost();
  }

  send(uid, negotiation) {
    if (this.#joined) {
      this.#socket.send(toMember(uid, negotiation));
    }
  }

  // nudge says that the network or the page just came back: do not sit out a
  // waiting time, and do not trust a connection that may have died unnoticed.
  nudge() {
    if (this.#retryTimer !== null) {
      this.connect();
    } else if (this.#joined) {
      this.#probe();
    }
  }

  close() {
    this.#clearTimers();
    this.#dropSocket();
  }

  #receive(text) {
    clearTimeout(this.#limitTimer);
    this.#limitTimer = null;
    const message = parse(text);
    if (this.#joined) {
      this.#receiveInRoom(message);
    } else {
      this.#receiveBeforeRoom(message);
    }
  }

  #receiveBeforeRoom({ type, members, reason }) {
    if (type === 'hello') {
      this.#join(this.#socket);
    } else if (type === 'room') {
      this.#joined = true;
      this.#backoff.succeeded();
      this.#probeTimer = setInterval(() => this.#probe(), probeInterval);
      this.#handlers.state('joined');
      this.#handlers.members(members);
    } else if (type === 'error') {
      this.#refuse(reason);
    }
  }

  #receiveInRoom({ type, uid, message, reason }) {
    switch (type) {
      case 'joined':
        return this.#handlers.joined(uid);
      case 'left':
        return this.#handlers.left(uid);
      case 'message':
        return this.#handlers.message(uid, message);
      case 'error': // about a member that left while our message was under way
        return console.debug(`relay: ${reason}`);
    }
  }

  async #join(socket) {
    this.#expectAnswer();
    await this.#prepared.catch(() => {}); // connect handles it
    if (socket === this.#socket) {
      socket.send(joinRoom(this.#room));
    }
  }

  #refuse(reason) {
    if (reason === 'invalid peer uid') {
      // Our own past still holds the name at a relay that does not check.
      this.uid = this.#handlers.newUid();
      this.#lost();
      return;
    }
    this.close();
    this.#handlers.state('refused', reason);
  }

  #lost() {
    this.#clearTimers();
    this.#dropSocket();
    this.#retryTimer = setTimeout(() => this.connect(), this.#backoff.next());
    this.#handlers.state('lost');
  }

  // A browser cannot ping. The member list is the cheapest question that the
  // relay answers, and shows a connection that died without a word.
  #probe() {
    if (this.#limitTimer === null) {
      this.#socket.send(listRoom());
      this.#expectAnswer();
    }
  }

  #expectAnswer() {
    this.#limitTimer = setTimeout(() => this.#lost(), answerLimit);
  }

  #clearTimers() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#limitTimer);
    clearInterval(this.#probeTimer);
    this.#retryTimer = this.#limitTimer = this.#probeTimer = null;
  }

  // The handlers go first: what an abandoned socket still delivers is late.
  #dropSocket() {
    const socket = this.#socket;
    this.#socket = null;
    this.#joined = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }
}
