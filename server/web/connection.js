// One RTCPeerConnection to one member, from the first description to the end.
// A connection that failed is not repaired; its owner makes a new one.

import { codecs, sameConnection } from './sdp.js';

const mediaPoll = 200; // ms between looks for the first media

const over = new Set(['refused', 'failed', 'closed']);

const receives = ({ currentDirection }) => currentDirection === 'recvonly' || currentDirection === 'sendrecv';

// Connection sends its own descriptions and candidates through `send` and calls
// `changed(connection)` whenever `status` changed:
//   'connecting'    until the transport works
//   'connected'     the transport works, no media has come yet
//   'live'          media has come
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
  #receivedMedia = false;
  #pollTimer = null;

  constructor({ configuration, send, changed }) {
    this.#send = send;
    this.#changed = changed;
    this.#peer = new RTCPeerConnection(configuration);
    this.#peer.onicecandidate = ({ candidate }) => this.#sendCandidate(candidate);
    this.#peer.onconnectionstatechange = () => this.#update();
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

  // close keeps the stream: an element that shows it goes on showing its last
  // picture.
  close() {
    this.status = 'closed';
    clearTimeout(this.#pollTimer);
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
    const wanted = this.#peer.getTransceivers().filter(receives).map(({ receiver }) => receiver.track);
    this.stream.getTracks().filter((track) => !wanted.includes(track)).forEach((track) => this.stream.removeTrack(track));
    wanted.forEach((track) => this.stream.addTrack(track));
    this.#become(wanted.length === 0 ? 'refused' : this.#transportStatus());
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

  #transportStatus() {
    switch (this.#peer.connectionState) {
      case 'connected':
        return this.#receivedMedia ? 'live' : 'connected';
      case 'disconnected':
        return 'disconnected';
      case 'failed':
      case 'closed':
        return 'failed';
      default:
        return 'connecting';
    }
  }

  #update() {
    this.#become(this.#transportStatus());
  }

  #become(status) {
    if (status === this.status || over.has(this.status)) {
      return;
    }
    this.status = status;
    if (status === 'connected') {
      this.#awaitMedia();
    }
    this.#changed(this);
  }

  async #awaitMedia() {
    this.#receivedMedia = (await this.#bytesReceived()) > 0;
    if (this.#receivedMedia) {
      this.#update();
    } else if (this.status === 'connected') {
      clearTimeout(this.#pollTimer);
      this.#pollTimer = setTimeout(() => this.#awaitMedia(), mediaPoll);
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
