// Everything of the page around the tiles: the grid, the heading, the notices
// and the keys. It knows tiles and text, no WebRTC and no relay.

import { layout } from './layout.js';
import { Tile } from './tile.js';

const short = (text) => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
const byId = (id) => document.getElementById(id);

// announce has those hear it who do not see it.
const announce = (text) => (byId('announcer').textContent = text);

const shortLoss = 2_000; // ms that the relay may be away without a word

// Page shows one tile for each member that has something to show, and a notice
// while there is none.
export class Page {
  #room;
  #mayPublish;
  #sender;
  #stage = byId('stage');
  #tiles = new Map();
  #watchers = new Set(); // uids of members that only receive
  #publishes = false;
  #announced = new Map();
  #relay = 'connecting';
  #reason = '';
  #told = null; // of the relay's states, to those who do not see them
  #tellTimer = null;

  // `mayPublish` tells whether the relay would let us, and `sender` how to start one
  // for this room: the `command`, and what it `needs` besides. `retry()` is called
  // when the user does not want to wait for the relay any longer, `publish()` when the
  // user wants to, and `enter()` to come back after showRelay('left') or 'refused'.
  constructor({ room, mayPublish, sender, retry, publish, enter }) {
    this.#room = room;
    this.#mayPublish = mayPublish;
    this.#sender = sender;
    document.title = `${room} · gstpeer`;
    byId('room').textContent = room;
    byId('retry').addEventListener('click', retry);
    byId('publish').addEventListener('click', publish);
    byId('return').addEventListener('click', enter);
    byId('sound').addEventListener('click', () => this.#turnSoundOn());
    new ResizeObserver(() => this.#arrange()).observe(this.#stage);
    document.addEventListener('keydown', (event) => this.#keyPressed(event));
    this.#show();
  }

  show(member) {
    const tile = this.#tiles.get(member.uid);
    this.#countWatcher(member);
    if (!member.shown) {
      this.#removeTile(member.uid);
    } else if (tile) {
      tile.update();
    } else {
      this.#add(member);
    }
  }

  remove({ uid }) {
    this.#watchers.delete(uid);
    this.#removeTile(uid);
    this.#show();
  }

  // showPublishing tells whether we publish.
  showPublishing(publishes) {
    this.#publishes = publishes;
    this.#show();
  }

  // showRelay takes Signalling's states, 'unsupported', and 'left' after us.
  showRelay(state, reason = '') {
    if (state === 'connecting' && this.#relay === 'lost') {
      return; // one of many attempts; it is still lost
    }
    const changed = state !== this.#relay;
    this.#relay = state;
    this.#reason = reason;
    this.#show();
    if (changed) {
      clearTimeout(this.#tellTimer);
      if (state === 'lost') {
        this.#tellTimer = setTimeout(() => this.#tellRelay(), shortLoss);
      } else {
        this.#tellRelay();
      }
    }
  }

  // takeFocus has the user go on here when what had the focus has gone.
  takeFocus() {
    const { activeElement } = document;
    if (activeElement === document.body || activeElement.getClientRects().length === 0) {
      ['return', 'publish'].map(byId).find(({ hidden }) => !hidden)?.focus();
    }
  }

  resume() {
    this.#tiles.forEach((tile) => tile.resume());
  }

  #add(member) {
    const tile = new Tile(member, byId('tile'), (changed) => this.#tileChanged(member.uid, changed));
    this.#tiles.set(member.uid, tile);
    const slot = document.createElement('div');
    slot.className = 'slot';
    slot.append(tile.element);
    this.#stage.append(slot);
    this.#arrange();
    tile.update();
  }

  #removeTile(uid) {
    if (this.#tiles.has(uid)) {
      this.#tiles.get(uid).remove();
      this.#tiles.delete(uid);
      this.#announced.delete(uid);
      this.#arrange();
      this.#show();
    }
  }

  #countWatcher({ uid, watches, state }) {
    const before = this.#watchers.size;
    if (watches && state !== 'ended') {
      this.#watchers.add(uid);
    } else {
      this.#watchers.delete(uid);
    }
    if (this.#watchers.size !== before) {
      this.#show();
    }
  }

  #tileChanged(uid, tile) {
    if (this.#announced.get(uid) !== tile.state) {
      this.#announced.set(uid, tile.state);
      announce(`${uid}: ${tile.stateWords}`);
    }
    this.#show();
  }

  #arrange() {
    const { clientWidth, clientHeight } = this.#stage;
    const gap = parseFloat(getComputedStyle(this.#stage).columnGap) || 0;
    const { width, height, scrolls } = layout(this.#tiles.size, clientWidth, clientHeight, gap);
    this.#stage.style.setProperty('--slot-width', `${width}px`);
    this.#stage.style.setProperty('--slot-height', `${height}px`);
    this.#stage.toggleAttribute('data-scrolls', scrolls);
  }

  #show() {
    document.body.dataset.relay = this.#relay;
    byId('retry').hidden = this.#relay !== 'lost';
    byId('publish').hidden = !this.#mayPublish || this.#publishes || !['joined', 'lost'].includes(this.#relay);
    document.body.toggleAttribute('data-publishes', this.#publishes);
    byId('sound').hidden = ![...this.#tiles.values()].some(({ soundRefused }) => soundRefused);
    byId('summary').textContent = this.#summary();
    this.#showNotice();
  }

  #summary() {
    switch (this.#relay) {
      case 'joined':
        return this.#count();
      case 'lost':
        return `${this.#loss()} Trying again…`;
      default:
        return '';
    }
  }

  #count() {
    const live = [...this.#tiles.values()].filter(({ state }) => state === 'live').length;
    const all = this.#tiles.size;
    const senders = all === 1 ? '1 sender' : `${all} senders`;
    const watching = this.#publishes ? this.#watchers.size : 0;
    return [
      all > 0 && (live === all ? senders : `${live} of ${senders} live`),
      watching > 0 && `${watching} watching`,
    ].filter(Boolean).join(' · ');
  }

  #showNotice() {
    const notice = this.#tiles.size === 0 ? this.#notice() : null;
    byId('return').hidden = !['refused', 'left'].includes(this.#relay);
    byId('return').textContent = this.#relay === 'left' ? 'Come back' : 'Try again';
    byId('notice').hidden = !notice;
    if (notice) {
      byId('notice-title').textContent = notice.title;
      byId('notice-text').textContent = notice.text;
      byId('notice-command').textContent = notice.command ?? '';
      byId('notice-command').hidden = !notice.command;
    }
  }

  #notice() {
    switch (this.#relay) {
      case 'joined':
        return this.#publishes
          ? { title: `You publish in room ${this.#room}`, text: 'Whoever comes sees and hears you. Nobody else publishes yet.' }
          : { title: `Waiting for a sender in room ${this.#room}`, text: this.#howToSend(), command: this.#sender.command };
      case 'left':
        return { title: `You left room ${this.#room}`, text: 'Nothing is sent or received any more.' };
      case 'lost':
        return this.#reason
          ? { title: 'The relay does not let you in yet', text: `${this.#loss()} This page goes on trying by itself.` }
          : { title: 'The relay is out of reach', text: 'This page goes on trying by itself.' };
      case 'refused':
        return { title: 'This room cannot be joined', text: this.#refusal() };
      case 'unsupported':
        return {
          title: 'This browser has no WebRTC',
          text: 'The pictures come over WebRTC. A current Chrome, Edge, Firefox or Safari has it.',
        };
      default:
        return { title: `Joining room ${this.#room}…`, text: '' };
    }
  }

  #howToSend() {
    const { needs } = this.#sender;
    return `${this.#mayPublish ? 'Publish from here, or start one' : 'Start one'}${needs ? `, with ${needs}` : ' with'}:`;
  }

  #loss() {
    return this.#reason ? `The relay says: ${short(this.#reason)}.` : 'The relay is out of reach.';
  }

  #refusal() {
    const hint = this.#reason.startsWith('invalid room id')
      ? ' A room’s name has no white space, is not “session” and takes up to 1,024 bytes.'
      : '';
    return `The relay says: ${short(this.#reason)}.${hint}`;
  }

  // That we join at first goes without saying, and so do attempts.
  #tellRelay() {
    const told = this.#told;
    if (this.#relay === told || (told === null && this.#relay === 'connecting')) {
      return;
    }
    this.#told = this.#relay;
    if (told !== null || this.#relay !== 'joined') {
      announce(this.#relayWords());
    }
  }

  #relayWords() {
    switch (this.#relay) {
      case 'connecting':
        return ''; // so that the same words are news when they come again
      case 'joined':
        return `You are in room ${this.#room}.`;
      case 'lost':
        return this.#summary();
      default: {
        const { title, text } = this.#notice();
        return `${title}. ${text}`;
      }
    }
  }

  #turnSoundOn() {
    this.#tiles.forEach((tile) => tile.soundRefused && tile.turnSoundOn());
  }

  #keyPressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest?.('dialog, input, select')) {
      return;
    }
    const actions = { f: 'toggleFullscreen', i: 'toggleFigures', m: 'toggleSound' };
    this.#tileForKeys()?.[actions[event.key.toLowerCase()]]?.();
  }

  // The tile that the user is at, if any: by focus, or by pointer while nothing else
  // has the focus, whose own keys they would be (WCAG 2.1.4).
  #tileForKeys() {
    const { activeElement } = document;
    const at = (element) => (activeElement === document.body ? element.matches(':hover') : element.contains(activeElement));
    return [...this.#tiles.values()].find(({ element }) => at(element));
  }
}
