// One RTCPeerConnection to one member, from the first description to the end.
// A connection that failed is not repaired; its owner makes a new one.

import { codecs, sameConnection } from './sdp.js';

const over = new Set(['refused', 'failed', 'closed']);

const receives = ({ currentDirection }) => currentDirection === 'recvonly' || currentDirection === 'sendrecv';

// Connection sends its own descriptions and candidates through `send`, and calls
// `changed(connection)` when `status` or the tracks of `stream` may have changed.
// The status is one of
//   'connecting'    until the transport works
//   'connected'     the transport works, no media has come yet
//   'live'          media has come: `stream` has the tracks that deliver
//   'disconnected'  was live, may come back by itself
//   'failed'        is over
//   'refused'       is over: no media section may carry anything to us
//   'closed'        is over by close()
export class Connection {
  status = 'connecting';
  stream = new MediaStream();
  #peer;
  #send;
  #changed;
  #operations = Promise.resolve();
  #early = { local: [], remote: [] };
  #offering = false;
  #described = false;
  #remote = null; // the latest description that we took from the member

  constructor({ configuration, send, changed }) {
    this.#send = send;
    this.#changed = changed;
    this.#peer = new RTCPeerConnection(configuration);
    this.#peer.onicecandidate = ({ candidate }) => this.#sendCandidate(candidate);
    this.#peer.onconnectionstatechange = this.#update;
  }

  // offer asks for whatever the member sends.
  offer() {
    this.#offering = true;
    this.#enqueue(async () => {
      this.#peer.addTransceiver('audio', { direction: 'recvonly' });
      this.#peer.addTransceiver('video', { direction: 'recvonly' });
      await this.#describe();
    });
  }

  receive({ sdp, ice }) {
    if (ice) {
      this.#enqueue(() => this.#addCandidate(ice));
    } else if (sdp.type === 'offer') {
      this.#remote = sdp;
      this.#enqueue(() => this.#acceptOffer(sdp));
    } else {
      this.#enqueue(() => this.#acceptAnswer(sdp));
    }
  }

  // takes tells whether an offer is for this connection: it is still unused, or
  // the offer goes on with what it was used for.
  takes(offer) {
    return this.#remote ? sameConnection(this.#remote.sdp, offer.sdp) : !this.#offering;
  }

  get negotiated() {
    return this.#remote !== null;
  }

  // offered tells who made the offer and which codecs it named.
  get offered() {
    const weOffered = this.#peer.localDescription.type === 'offer';
    const offer = weOffered ? this.#peer.localDescription : this.#remote;
    return { weOffered, codecs: codecs(offer.sdp) };
  }

  getStats() {
    return this.#peer.getStats();
  }

  // flowing tells whether media still comes in, after watching for `duration` ms.
  async flowing(duration) {
    const before = await this.#bytesReceived();
    await new Promise((done) => setTimeout(done, duration));
    return (await this.#bytesReceived()) > before;
  }

  close() {
    this.status = 'closed';
    this.#peer.onicecandidate = this.#peer.onconnectionstatechange = null;
    this.#peer.close();
  }

  // Operations run one after the other, so that no candidate meets a connection
  // in the middle of a description.
  #enqueue(operation) {
    this.#operations = this.#operations.then(operation).catch((error) => {
      if (this.status !== 'closed') {
        console.warn('negotiation failed:', error);
        this.#become('failed');
      }
    });
  }

  async #describe() {
    await this.#peer.setLocalDescription();
    const { type, sdp } = this.#peer.localDescription;
    this.#send({ sdp: { type, sdp } });
    this.#described = true;
    this.#early.local.splice(0).forEach((ice) => this.#send({ ice }));
  }

  async #acceptOffer(offer) {
    await this.#peer.setRemoteDescription(offer);
    await this.#describe();
    await this.#settle();
  }

  async #acceptAnswer(answer) {
    if (this.#peer.signalingState !== 'have-local-offer') {
      return; // it answers an offer that we gave up
    }
    this.#remote = answer;
    await this.#peer.setRemoteDescription(answer);
    await this.#settle();
  }

  async #settle() {
    for (const ice of this.#early.remote.splice(0)) {
      await this.#addCandidate(ice);
    }
    const tracks = this.#peer.getTransceivers().filter(receives).map(({ receiver }) => receiver.track);
    this.stream.getTracks().filter((track) => !tracks.includes(track)).forEach((track) => this.stream.removeTrack(track));
    tracks.forEach((track) => this.#addWhenDelivering(track));
    this.#transports().forEach((transport) => transport.addEventListener('statechange', this.#update));
    this.#become(tracks.length === 0 ? 'refused' : this.#transportStatus());
  }

  // A track is muted until its first packet. An element must not get one that
  // never delivers, as a sender without sound may negotiate: it would wait for
  // it and play nothing at all.
  #addWhenDelivering(track) {
    const add = () => {
      this.stream.addTrack(track);
      this.#update();
    };
    if (track.muted) {
      track.addEventListener('unmute', add, { once: true });
    } else {
      add();
    }
  }

  async #addCandidate(ice) {
    if (!this.#peer.remoteDescription) {
      this.#early.remote.push(ice);
      return;
    }
    try {
      await this.#peer.addIceCandidate(ice);
    } catch (error) {
      console.debug('candidate ignored:', error); // another may do
    }
  }

  #sendCandidate(candidate) {
    if (!candidate?.candidate) {
      return; // their end is of no use to a peer that trickles
    }
    const { candidate: text, sdpMLineIndex, sdpMid } = candidate;
    const ice = { candidate: text, sdpMLineIndex, sdpMid };
    if (this.#described) {
      this.#send({ ice });
    } else {
      this.#early.local.push(ice);
    }
  }

  #transports() {
    return this.#peer.getReceivers().flatMap(({ transport }) => transport ?? []);
  }

  #transportStatus() {
    // A peer that closes says so in DTLS; connectionState waits for ICE to miss it.
    if (this.#transports().some(({ state }) => state === 'closed')) {
      return 'failed';
    }
    switch (this.#peer.connectionState) {
      case 'connected':
        return this.stream.getTracks().length > 0 ? 'live' : 'connected';
      case 'disconnected':
        return 'disconnected';
      case 'failed':
      case 'closed':
        return 'failed';
      default:
        return 'connecting';
    }
  }

  #update = () => this.#become(this.#transportStatus());

  #become(status) {
    if (!over.has(this.status)) {
      this.status = status;
      this.#changed(this);
    }
  }

  async #bytesReceived() {
    let bytes = 0;
    (await this.#peer.getStats()).forEach(({ type, bytesReceived }) => {
      bytes += type === 'inbound-rtp' ? bytesReceived : 0;
    });
    return bytes;
  }
}
