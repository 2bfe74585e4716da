// What this page publishes: a microphone, a camera, and the screen in the
// camera's place while it is shared.

import { openDevices, openScreen } from './devices.js';

const lost = {
  audio: 'The microphone is gone. The rest goes on.',
  camera: 'The camera is gone. The rest goes on.',
};

// Publication calls `changed()` when anything of it changed, and `problem(text)`
// with what has to be said about it.
export class Publication {
  stream = new MediaStream(); // names what belongs together; its tracks are what is sent
  #changed;
  #problem;
  #tracks = { audio: null, camera: null, screen: null };
  #muted = { audio: false, camera: false };
  #stops = 0;

  constructor({ changed, problem }) {
    this.#changed = changed;
    this.#problem = problem;
  }

  get audio() {
    return this.#tracks.audio;
  }

  get video() {
    return this.#tracks.screen ?? this.#tracks.camera;
  }

  // has tells whether there is a source: 'audio', 'camera' or 'screen'.
  has(source) {
    return this.#tracks[source] !== null;
  }

  muted(source) {
    return this.#muted[source];
  }

  // device is the id of what is in use, '' for nothing.
  device(source) {
    return this.#tracks[source]?.getSettings().deviceId ?? '';
  }

  // open begins with any camera and microphone, as far as there are.
  async open() {
    await this.#open({ audio: '', video: '' });
  }

  // use changes a source, 'audio' or 'camera', to another device, or to none with
  // null. When that one cannot be opened all stays as it was.
  async use(source, id) {
    if (id === null) {
      this.#set(source, null);
    } else {
      await this.#open({ [source === 'audio' ? 'audio' : 'video']: id });
    }
  }

  async shareScreen() {
    const stops = this.#stops;
    const { track, problem } = await openScreen();
    this.#take({ screen: track }, stops);
    this.#problem(problem ?? '');
  }

  stopSharing() {
    this.#set('screen', null);
  }

  // mute sends silence or black, and nothing else.
  mute(source, muted) {
    this.#muted[source] = muted;
    if (this.#tracks[source]) {
      this.#tracks[source].enabled = !muted;
    }
    this.#changed();
  }

  // stop gives all devices back.
  stop() {
    Object.keys(this.#tracks).forEach((source) => this.#put(source, null));
    this.#muted = { audio: false, camera: false };
    this.#stops += 1;
    this.#changed();
  }

  async #open(wanted) {
    const stops = this.#stops;
    const { tracks, problems } = await openDevices(wanted);
    this.#take({ audio: tracks.audio, camera: tracks.video }, stops);
    this.#problem(Object.values(problems).join(' '));
  }

  // People take their time with the browser's question, and may have stopped
  // everything by then.
  #take(tracks, stops) {
    for (const [source, track] of Object.entries(tracks)) {
      if (track && stops === this.#stops) {
        this.#put(source, track);
      } else {
        track?.stop();
      }
    }
    this.#changed();
  }

  #set(source, track) {
    this.#put(source, track);
    this.#changed();
  }

  #put(source, track) {
    const old = this.#tracks[source];
    if (old) {
      old.onended = null;
      old.stop();
    }
    this.#tracks[source] = track;
    if (track) {
      track.enabled = !this.#muted[source];
      track.onended = () => this.#ended(source);
    }
    this.#fill();
  }

  #ended(source) {
    this.#set(source, null);
    if (lost[source]) {
      this.#problem(lost[source]);
    }
  }

  #fill() {
    const now = [this.audio, this.video].filter(Boolean);
    this.stream.getTracks().filter((track) => !now.includes(track)).forEach((track) => this.stream.removeTrack(track));
    now.forEach((track) => this.stream.addTrack(track));
  }
}
