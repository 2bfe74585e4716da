// The STUN and TURN servers that the relay names.

const patience = 3_000; // ms to wait for the relay's word; connections may do without

// Ice has the latest `configuration` for an RTCPeerConnection: an empty one as
// long as the relay has named no servers.
export class Ice {
  configuration = {};
  #url;
  #renewal = null;

  constructor(url) {
    this.#url = url;
  }

  // refresh asks the relay, for the peer of that name. It resolves when the
  // answer is here or will not come; it rejects, with the relay's reason, when
  // the relay wants nothing to do with us.
  async refresh(uid) {
    clearTimeout(this.#renewal);
    const url = new URL(this.#url);
    url.searchParams.set('uid', uid);
    const response = await fetch(url, { signal: AbortSignal.timeout(patience) }).catch(() => null);
    if (response?.status === 401 || response?.status === 403) {
      throw new Error((await response.text()).trim());
    }
    if (response?.ok) {
      await this.#take(response, uid);
    }
  }

  async #take(response, uid) {
    try {
      const { ttl, ...configuration } = await response.json();
      this.configuration = configuration;
      if (ttl) {
        this.#renewal = setTimeout(() => this.refresh(uid).catch(() => {}), (ttl * 1000) / 2);
      }
    } catch (error) {
      console.debug('no ICE servers:', error); // not a relay that has them
    }
  }

  close() {
    clearTimeout(this.#renewal);
  }
}
