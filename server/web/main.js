// Puts the page together: the room named by `?room=` on one side, the page on
// the other.

import { Ice } from './ice.js';
import { Page } from './page.js';
import { Room } from './room.js';
import { newUid, takeToken } from './token.js';

const name = new URLSearchParams(location.search).get('room') || 'demo';
const token = takeToken();

// Relative to the page, so that all may live under a path of a reverse proxy.
function atRelay(path) {
  const url = new URL(path, location.href);
  if (token) {
    url.searchParams.set('token', token);
  }
  return url;
}

const relay = atRelay('ws?role=viewer');
relay.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
const ice = new Ice(atRelay('api/ice'));

// What a shell takes as one word without quotes.
const quoted = (word) => (/^[\w.,:@%+/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

const page = new Page({
  room: name,
  command: `gstpeer --server ${relay.protocol}//${relay.host} --room ${quoted(name)}`,
  retry: () => room.nudge(),
});

const room = new Room(relay.href, name, {
  configuration: () => ice.configuration,
  newUid: () => newUid(token),
  prepare: (uid) => ice.refresh(uid),
  relay: (state, reason) => page.showRelay(state, reason),
  changed: (member) => page.show(member),
  removed: (member) => page.remove(member),
});

// For whoever embeds or diagnoses the page, in the console: `gstpeer.peers()`
// lists the members of the room, each as `{uid, state, stats()}`, where stats()
// promises the entries of a getStats report as an array.
Object.defineProperty(globalThis, 'gstpeer', {
  value: Object.freeze({
    peers: () => room.members.map((member) => ({ uid: member.uid, state: member.state, stats: () => member.getStats() })),
  }),
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
} else {
  page.showRelay('unsupported');
}
