// Puts the page together: the room named by `?room=` on one side, the page on
// the other. `?name=` is the name to publish under, and `&publish` opens the
// dialog for it at once.

import { Ice } from './ice.js';
import { Page } from './page.js';
import { Publishing } from './publish.js';
import { Room } from './room.js';
import { mayPublish, newName, newSecret, newUid, takeToken } from './token.js';

const parameters = new URLSearchParams(location.search);
const name = parameters.get('room') || 'demo';
const token = takeToken();

// Relative to the page, so that all may live under a path of a reverse proxy.
function atRelay(path) {
  const url = new URL(path, location.href);
  if (token) {
    url.searchParams.set('token', token);
  }
  return url;
}

const secure = location.protocol === 'https:';

// The relay keeps the place of somebody who publishes, for whom a break of the
// connection would be one for all others.
function relayUrl(publishes) {
  const url = atRelay('ws');
  url.protocol = secure ? 'wss:' : 'ws:';
  url.searchParams.set(...(publishes ? ['resume', newSecret()] : ['role', 'viewer']));
  return url;
}

const ice = new Ice(atRelay('api/ice'));

// What a shell takes as one word without quotes.
const quoted = (word) => (/^[\w.,:@%+/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

// sender tells how to start one for this room: the command, and what it needs besides.
function sender() {
  const { host, pathname } = new URL('.', location.href);
  const server = `${secure ? 'wss' : 'ws'}://${host}${pathname === '/' ? '' : pathname}`;
  const needs = [
    token && 'a token for senders in GSTPEER_TOKEN',
    secure && 'the certificate’s authority in GSTPEER_CA_FILE if it is a private one',
  ];
  return {
    command: `gstpeer --server ${quoted(server)} --room${name.startsWith('-') ? '=' : ' '}${quoted(name)}`,
    needs: needs.filter(Boolean).join(', and '),
  };
}

const page = new Page({
  room: name,
  mayPublish: mayPublish(token),
  sender: sender(),
  retry: () => room.nudge(),
  publish: () => publishing.open(),
  enter: () => room.enter(),
});

const room = new Room(name, {
  relayUrl: (publishes) => relayUrl(publishes).href,
  configuration: () => ice.configuration,
  newUid: () => newUid(token),
  prepare: (uid) => ice.refresh(uid),
  relay: (state, reason) => (state === 'refused' ? end(state, reason) : page.showRelay(state, reason)),
  changed: (member) => page.show(member),
  removed: (member) => page.remove(member),
  text: ({ uid }, text) => dispatchEvent(new CustomEvent('gstpeermessage', { detail: { peer: uid, text } })),
});

const publishing = new Publishing({
  room,
  roomName: name,
  name: parameters.get('name') || newName(token),
  changed: () => page.showPublishing(publishing.active),
  stopped: () => page.takeFocus(),
  leave: () => end('left'),
});

// end ends all that runs, by the user's wish or the relay's.
function end(state, reason) {
  room.close();
  publishing.end();
  ice.close();
  page.showRelay(state, reason);
  page.takeFocus();
}

// For whoever embeds or diagnoses the page, in the console: `gstpeer.peers()`
// lists the members of the room, each as `{uid, state, stats(), send(text)}`,
// where stats() promises the entries of a getStats report as an array, and send()
// tells whether the text is on its way. A text that arrives is an event
// `gstpeermessage` of the window, with `{peer, text}` as its detail.
const exposed = (member) => ({
  uid: member.uid,
  state: member.state,
  stats: () => member.getStats(),
  send: (text) => member.sendText(String(text)),
});

Object.defineProperty(globalThis, 'gstpeer', {
  value: Object.freeze({ peers: () => room.members.map(exposed) }),
});

function returned() {
  if (!document.hidden) {
    room.nudge();
    page.resume();
  }
}

function leave() {
  room.close();
  ice.close();
}

if (globalThis.RTCPeerConnection) {
  room.enter();
  addEventListener('online', returned);
  document.addEventListener('visibilitychange', returned);
  addEventListener('pagehide', leave);
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
  if (parameters.has('publish') && mayPublish(token)) {
    publishing.open();
  }
} else {
  page.showRelay('unsupported');
}
