// Plays a stream in a video element within what the browser's autoplay rules
// allow: with sound where they let it, else silently until a click.

export class Player {
  #video;
  #changed;
  #wantsSound = true;
  #soundRefused = false;

  // `changed()` is called when `sound` or `stopped` may have changed.
  constructor(video, changed) {
    this.#video = video;
    this.#changed = changed;
    video.addEventListener('pause', changed);
    video.addEventListener('playing', changed);
  }

  // sound is 'none' without a sound track, 'on', 'off' by the user's choice, or
  // 'refused' until the user clicks.
  get sound() {
    if (!this.#video.srcObject?.getAudioTracks().length) {
      return 'none';
    }
    if (!this.#wantsSound) {
      return 'off';
    }
    return this.#soundRefused ? 'refused' : 'on';
  }

  // stopped: there is something to play, and the browser waits for a click.
  get stopped() {
    return this.#video.srcObject !== null && this.#video.paused;
  }

  show(stream) {
    if (this.#video.srcObject !== stream) {
      this.#video.srcObject = stream;
      this.resume();
    }
  }

  // setSound is for a click's handler: only there may sound begin.
  setSound(on) {
    this.#wantsSound = on;
    this.resume();
  }

  async resume() {
    const video = this.#video;
    if (video.srcObject === null) {
      return;
    }
    video.muted = !this.#wantsSound;
    this.#soundRefused = false;
    if (!(await this.#play()) && !video.muted) {
      video.muted = true;
      this.#soundRefused = true;
      await this.#play();
    }
    this.#changed();
  }

  async #play() {
    try {
      await this.#video.play();
      return true;
    } catch (error) {
      // Any other error means that a newer stream took this one's place.
      return error.name !== 'NotAllowedError';
    }
  }
}
