// The client of the relay: registers, joins one room, and does both again for
// as long as the page lives.

import { Backoff } from './backoff.js';
import { hello, joinRoom, listRoom, parse, toMember } from './protocol.js';

// A packet that begins a connection is sent again after one and three seconds. A
// network that is back serves the next attempt sooner than an old one.
const openLimit = 3_500;
const shortOpenings = 10; // attempts with that limit in a row, then a patient one
const answerLimit = 10_000; // for the relay to accept us, then for any answer
const checkLimit = 3_000; // for an answer where the network may be gone
const probeInterval = 25_000;
const hurriedPause = 1_000; // ms between two attempts at most while somebody waits
const hurriedFor = 60_000; // ms after the loss
const freshAttempt = 1_000; // ms in which an attempt is not given up for a new one

// Signalling calls its handlers:
//   state(state, reason)  'connecting', 'joined', 'lost' (it tries again by
//                         itself; the reason is '' where the relay gave none)
//                         or 'refused' (it does not)
//   members(uids)         who was in the room when we joined it
//   joined(uid), left(uid), message(uid, text)
// and asks its owner for three things:
//   newUid()              a name that may be free; when `chosen` is true, the first
//                         one is somebody's choice, and refused if it is taken
//   prepare(uid)          what has to be done before joining, side by side with
//                         the connecting; rejects with why we may not join
//   hurried()             whether somebody waits for the relay
export class Signalling {
  uid;
  #url;
  #room;
  #handlers;
  #backoff = new Backoff();
  #socket = null;
  #joined = false;
  #everJoined = false;
  #checking = false;
  #lostAt = null;
  #attempts = 0; // since we were joined
  #attemptAt = 0;
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
    this.#dropSocket();
    this.#attempts += 1;
    this.#attemptAt = performance.now();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#handlers.state('connecting');
    this.#expectAnswer(this.#attempts % shortOpenings === 0 ? answerLimit : openLimit);
    this.#prepared = this.#handlers.prepare(this.uid);
    this.#prepared.catch(({ message }) => this.#joined || this.#refuse(message));
    socket.onopen = () => {
      socket.onclose = () => this.#lost();
      this.#expectAnswer(answerLimit);
      socket.send(hello(this.uid));
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#turnedAway(socket);
  }

  send(uid, negotiation) {
    if (this.#joined) {
      this.#socket.send(toMember(uid, negotiation));
    }
  }

  // nudge says that the network or the page just came back: do not sit out a
  // waiting time, and do not trust a connection that may have died unnoticed.
  nudge() {
    if (this.#joined) {
      this.check();
    } else if (this.#retryTimer !== null || (this.#socket && performance.now() - this.#attemptAt > freshAttempt)) {
      this.connect();
    }
  }

  // check finds out soon whether the relay can still be reached.
  check() {
    if (this.#joined && !this.#checking) {
      this.#checking = true;
      this.#socket.send(listRoom());
      this.#expectAnswer(checkLimit);
    }
  }

  close() {
    this.#clearTimers();
    this.#dropSocket();
  }

  #receive(text) {
    clearTimeout(this.#limitTimer);
    this.#limitTimer = null;
    this.#checking = false;
    const message = parse(text);
    if (this.#joined) {
      this.#receiveInRoom(message);
    } else {
      this.#receiveBeforeRoom(message);
    }
  }

  #receiveBeforeRoom(message) {
    const { type, members, reason } = message;
    if (type === 'hello') {
      this.#join(this.#socket);
    } else if (type === 'room' || type === 'list') {
      this.#entered(members);
    } else if (type === 'error' && reason === 'invalid msg, already in room') {
      this.#socket.send(listRoom()); // the relay had kept our place
    } else if (type === 'error' && this.#everJoined && /^(room '.*' is full$|too many rooms)/.test(reason)) {
      this.#lost(reason); // others came back faster than we: one of them may leave
    } else if (type === 'error' && !reason.startsWith("peer '")) {
      this.#refuse(reason);
    } else {
      this.#receiveInRoom(message); // what came to that place meanwhile
    }
  }

  #entered(members) {
    this.#joined = this.#everJoined = true;
    this.#attempts = 0;
    this.#lostAt = null;
    this.#backoff.succeeded();
    this.#probeTimer = setInterval(() => this.#probe(), probeInterval);
    this.#handlers.state('joined');
    this.#handlers.members(members);
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
    this.#expectAnswer(answerLimit);
    await this.#prepared.catch(() => {}); // connect handles it
    if (socket === this.#socket) {
      socket.send(joinRoom(this.#room));
    }
  }

  #refuse(reason) {
    if (reason === 'invalid peer uid' && (this.#everJoined || !this.#handlers.chosen)) {
      // Our own past still holds the name at a relay that does not check.
      this.uid = this.#handlers.newUid();
      this.#lost();
      return;
    }
    this.close();
    this.#handlers.state('refused', reason);
  }

  // What closes before it is open may have been refused. The limit of the attempt
  // bounds this wait too.
  async #turnedAway(socket) {
    const { status, reason } = await refusal(this.#url);
    if (socket !== this.#socket) {
      return; // the wait was overtaken
    }
    if (reason && (status === 401 || status === 403)) {
      this.#refuse(reason);
    } else {
      this.#lost(reason);
    }
  }

  #lost(reason = '') {
    this.#clearTimers();
    this.#dropSocket();
    this.#lostAt ??= performance.now();
    this.#retryTimer = setTimeout(() => this.connect(), this.#pause());
    this.#handlers.state('lost', reason);
  }

  #pause() {
    const pause = this.#backoff.next();
    const hurried = performance.now() - this.#lostAt < hurriedFor && this.#handlers.hurried();
    return hurried ? Math.min(pause, hurriedPause * Math.random()) : pause;
  }

  // A browser cannot ping. The member list is the cheapest question that the
  // relay answers, and shows a connection that died without a word.
  #probe() {
    if (this.#limitTimer === null) {
      this.#socket.send(listRoom());
      this.#expectAnswer(answerLimit);
    }
  }

  #expectAnswer(limit) {
    clearTimeout(this.#limitTimer);
    this.#limitTimer = setTimeout(() => this.#lost(), limit);
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
    this.#joined = this.#checking = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }
}

// refusal asks by plain HTTP why a WebSocket has not come about, which browsers do
// not tell: the relay checks the same things first. It knows the page's origin of a
// POST only. The reason is '' if it does not refuse, or a proxy answers with a page of
// its own.
async function refusal(webSocket) {
  const url = new URL(webSocket);
  url.protocol = url.protocol.replace('ws', 'http');
  try {
    const response = await fetch(url, { method: 'POST', signal: AbortSignal.timeout(openLimit) });
    const refuses = [401, 403, 429, 503].includes(response.status);
    const plain = response.headers.get('content-type')?.startsWith('text/plain');
    return { status: response.status, reason: refuses && plain ? (await response.text()).trim() : '' };
  } catch {
    return { status: 0, reason: '' };
  }
}
