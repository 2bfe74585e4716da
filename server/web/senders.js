// What one connection sends of the media that we publish.

const kinds = ['audio', 'video'];

// Senders keeps the transceivers of a connection in step with `outgoing`, which
// has our tracks as `audio` and `video`, null for what we do not send, and the
// `stream` that tells a receiver that the two belong together.
export class Senders {
  #peer;
  #outgoing;
  #used = new Map(); // kind to the transceiver that is ours
  #bound = new Set(); // transceivers that name the stream

  constructor(peer, outgoing) {
    this.#peer = peer;
    this.#outgoing = outgoing;
  }

  // propose gives the first offer a section of each kind, so that what is
  // switched on later only changes a direction.
  propose() {
    kinds.forEach((kind) => this.#add(kind));
  }

  // sync changes what is sent. The browser asks for a negotiation by itself
  // where that takes one.
  async sync() {
    for (const kind of kinds) {
      const transceiver = this.#transceiver(kind);
      if (transceiver) {
        await this.#use(transceiver, this.#outgoing[kind]);
      } else if (this.#outgoing[kind]) {
        this.#add(kind);
      }
    }
  }

  #add(kind) {
    const track = this.#outgoing[kind];
    const transceiver = this.#peer.addTransceiver(track ?? kind, {
      direction: track ? 'sendrecv' : 'recvonly',
      streams: [this.#outgoing.stream],
    });
    this.#used.set(kind, transceiver);
    this.#bound.add(transceiver);
  }

  #transceiver(kind) {
    const usable = this.#peer
      .getTransceivers()
      .filter(({ direction, receiver }) => direction !== 'stopped' && receiver.track.kind === kind);
    const used = this.#used.get(kind);
    const transceiver = usable.includes(used) ? used : usable[0];
    this.#used.set(kind, transceiver);
    return transceiver;
  }

  async #use(transceiver, track) {
    if (transceiver.sender.track !== track) {
      await transceiver.sender.replaceTrack(track);
    }
    if (track && !this.#bound.has(transceiver)) {
      this.#bound.add(transceiver);
      transceiver.sender.setStreams?.(this.#outgoing.stream);
    }
    transceiver.direction = track ? 'sendrecv' : 'recvonly';
  }
}
