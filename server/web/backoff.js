// Waiting times between attempts: exponential, with full jitter, so that many
// pages that lost the same relay do not come back to it in step.

export class Backoff {
  #first;
  #most;
  #settled;
  #random;
  #now;
  #attempt = 0;
  #succeededAt = null;

  // Times are milliseconds. `settled` is how long a success has to last before
  // it counts: what works for a moment and breaks again must not be retried in
  // a tight loop.
  constructor({ first = 500, most = 30_000, settled = 10_000, random = Math.random, now = () => performance.now() } = {}) {
    this.#first = first;
    this.#most = most;
    this.#settled = settled;
    this.#random = random;
    this.#now = now;
  }

  succeeded() {
    this.#succeededAt ??= this.#now();
  }

  // next gives the milliseconds to wait before the next attempt.
  next() {
    if (this.#succeededAt !== null && this.#now() - this.#succeededAt >= this.#settled) {
      this.#attempt = 0;
    }
    this.#succeededAt = null;
    const ceiling = Math.min(this.#most, this.#first * 2 ** this.#attempt);
    this.#attempt += 1;
    return this.#random() * ceiling;
  }
}
