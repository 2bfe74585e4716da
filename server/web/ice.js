// The STUN and TURN servers that the relay names.

const patience = 3_000; // ms to wait for the relay's word; connections may do without
const retryAfter = 30_000; // ms from an answer that did not come to the next question
const longestTimer = 2 ** 31 - 1; // ms that setTimeout can wait; what is longer it does at once

// Ice has the latest `configuration` for an RTCPeerConnection: an empty one as
// long as the relay has named no servers.
export class Ice {
  configuration = {};
  #url;
  #renewal = null;
  #questions = 0;

  constructor(url) {
    this.#url = url;
  }

  // refresh asks the relay, for the peer of that name, and again before what it
  // answers is out of date. It resolves when the answer is here or will not come;
  // it rejects, with the relay's reason, when the relay wants nothing to do with us.
  async refresh(uid) {
    this.close();
    const question = this.#questions;
    const url = new URL(this.#url);
    url.searchParams.set('uid', uid);
    const response = await fetch(url, { signal: AbortSignal.timeout(patience) }).catch(() => null);
    if (response?.status === 401 || response?.status === 403) {
      throw new Error((await response.text()).trim());
    }
    const delay = await this.#take(response);
    if (delay > 0 && question === this.#questions) {
      this.#renewal = setTimeout(() => this.refresh(uid).catch(() => {}), Math.min(delay, longestTimer));
    }
  }

  // #take gives the ms after which to ask again, 0 for never.
  async #take(response) {
    if (!response || response.status === 429 || response.status >= 500) {
      return retryAfter;
    }
    if (!response.ok) {
      return 0; // not a relay that has them
    }
    try {
      const { ttl = 0, ...configuration } = await response.json();
      this.configuration = configuration;
      return (ttl * 1000) / 2;
    } catch (error) {
      console.debug('no ICE servers:', error);
      return error.name === 'SyntaxError' ? 0 : retryAfter; // another's answer, or half of one
    }
  }

  // close asks no more, until refresh is called.
  close() {
    clearTimeout(this.#renewal);
    this.#questions += 1;
  }
}
