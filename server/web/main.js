// Puts the page together: the room named by `?room=` on one side, the page on
// the other.

import { Page } from './page.js';
import { Room } from './room.js';

const name = new URLSearchParams(location.search).get('room') || 'demo';

// Relative to the page, so that both may live under a path of a reverse proxy.
const relay = new URL('ws?role=viewer', location.href);
relay.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';

// What a shell takes as one word without quotes.
const quoted = (word) => (/^[\w.,:@%+/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

const page = new Page({
  room: name,
  command: `gstpeer --server ${relay.protocol}//${relay.host} --room ${quoted(name)}`,
  retry: () => room.nudge(),
});

const room = new Room(relay.href, name, {
  configuration: {},
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

if (globalThis.RTCPeerConnection) {
  room.enter();
  addEventListener('online', returned);
  document.addEventListener('visibilitychange', returned);
  addEventListener('pagehide', () => room.close());
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
} else {
  page.showRelay('unsupported');
}
