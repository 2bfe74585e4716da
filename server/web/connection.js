// One RTCPeerConnection to one member, from the first description to the end.
// A connection that failed is not repaired; its owner makes a new one.

import { Channels } from './channels.js';
import { codecs, sameConnection, sendsMedia } from './sdp.js';
import { Senders } from './senders.js';

const crossing = 5_000; // ms in which two offers may be on their ways at the same time
const over = new Set(['refused', 'failed', 'closed']);

const receives = ({ currentDirection }) => currentDirection === 'recvonly' || currentDirection === 'sendrecv';
const sends = ({ currentDirection }) => currentDirection === 'sendonly' || currentDirection === 'sendrecv';

// Connection sends its own descriptions and candidates through `send`, and calls
// `changed(connection)` when `status`, `receives` or the tracks of `stream` may
// have changed, and `text(text)` for a text of the member. The status is one of
//   'connecting'    until the transport works
//   'connected'     the transport works, no media has come yet
//   'live'          media has come, or none is to come: `stream` has the tracks
//                   that deliver
//   'disconnected'  was live, may come back by itself
//   'failed'        is over
//   'refused'       is over: no media section may carry anything
//   'closed'        is over by close()
//
// `outgoing` is what Senders takes, or null to send nothing. Of two offers that
// cross, a `polite` connection gives way with its own.
export class Connection {
  status = 'connecting';
  stream = new MediaStream();
  receives = null; // whether a media section may carry something to us, once that is agreed
  #peer;
  #polite;
  #send;
  #changed;
  #channels;
  #senders;
  #operations = Promise.resolve();
  #early = { local: [], remote: [] };
  #born = performance.now();
  #offering = false;
  #wasLive = false;
  #described = false;
  #asking = new Set(); // who waits for figures
  #remote = null; // the latest description that we took from the member

  constructor({ configuration, outgoing, polite, send, changed, text }) {
    this.#polite = polite;
    this.#send = send;
    this.#changed = changed;
    this.#peer = new RTCPeerConnection(configuration);
    this.#channels = new Channels(this.#peer, text);
    this.#senders = outgoing && new Senders(this.#peer, outgoing);
    this.#peer.onicecandidate = ({ candidate }) => this.#sendCandidate(candidate);
    this.#peer.onconnectionstatechange = this.#update;
    this.#peer.onnegotiationneeded = () => this.#enqueue(() => this.#renegotiate());
  }

  // offer asks for whatever the member sends, and offers what we send.
  offer() {
    this.#offering = true;
    this.#enqueue(async () => {
      if (this.#senders) {
        this.#senders.propose();
      } else {
        this.#peer.addTransceiver('audio', { direction: 'recvonly' });
        this.#peer.addTransceiver('video', { direction: 'recvonly' });
      }
      this.#channels.open();
      await this.#describe();
    });
  }

  // outgoingChanged sends what we publish now.
  outgoingChanged() {
    this.#enqueue(async () => {
      if (this.#senders && this.#described) {
        await this.#senders.sync();
      }
    });
  }

  // remind makes an offer again that may have been lost.
  remind() {
    this.#enqueue(async () => {
      if (this.#peer.signalingState === 'have-local-offer') {
        this.#sendDescription();
      }
    });
  }

  // sendText tells whether the text is on its way.
  sendText(text) {
    return this.#channels.send(text);
  }

  receive({ sdp, ice }) {
    if (ice) {
      this.#enqueue(() => this.#addCandidate(ice));
    } else if (sdp.type === 'offer') {
      this.#remote ??= sdp;
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

  // takesAnswer tells whether an answer is to an offer of this connection.
  takesAnswer(answer) {
    return this.#peer.signalingState === 'have-local-offer' && (!this.#remote || sameConnection(this.#remote.sdp, answer.sdp));
  }

  // insists tells whether the member's offer for another connection has crossed
  // with ours, and has to give way.
  get insists() {
    return this.#offering && !this.#remote && !this.#polite && this.age < crossing;
  }

  // age is in ms.
  get age() {
    return performance.now() - this.#born;
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

  // getStats promises an empty report to who still waits for one at close(), or
  // asks later: Firefox never answers them.
  getStats() {
    if (this.status === 'closed') {
      return Promise.resolve(new Map());
    }
    return new Promise((resolve, reject) => {
      this.#asking.add(resolve);
      this.#peer
        .getStats()
        .then(resolve, reject)
        .finally(() => this.#asking.delete(resolve));
    });
  }

  // flowing tells whether media still comes in, after watching for `duration` ms.
  // Where none is to come, the transport stands for it.
  async flowing(duration) {
    const before = await this.#bytesReceived();
    await new Promise((done) => setTimeout(done, duration));
    return this.receives ? (await this.#bytesReceived()) > before : this.status === 'live';
  }

  close() {
    this.status = 'closed';
    this.#peer.onicecandidate = this.#peer.onconnectionstatechange = this.#peer.onnegotiationneeded = null;
    this.#peer.close();
    this.#asking.forEach((answer) => answer(new Map()));
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
    this.#sendDescription();
    this.#described = true;
    this.#early.local.splice(0).forEach((ice) => this.#send({ ice }));
  }

  #sendDescription() {
    const { type, sdp } = this.#peer.localDescription;
    this.#send({ sdp: { type, sdp } });
  }

  // The first description is not the browser's to ask for.
  async #renegotiate() {
    if (this.#remote && this.#peer.signalingState === 'stable') {
      await this.#describe();
    }
  }

  async #acceptOffer(offer) {
    if (this.#peer.signalingState === 'have-local-offer' && !this.#polite) {
      return; // ours counts
    }
    this.#remote = offer;
    await this.#peer.setRemoteDescription(offer);
    await this.#senders?.sync();
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
    const transceivers = this.#peer.getTransceivers();
    const tracks = transceivers.filter(receives).map(({ receiver }) => receiver.track);
    this.receives = tracks.length > 0;
    this.stream.getTracks().filter((track) => !tracks.includes(track)).forEach((track) => this.stream.removeTrack(track));
    tracks.forEach((track) => this.#addWhenDelivering(track));
    this.#transports().forEach((transport) => transport.addEventListener('statechange', this.#update));
    const used = this.#wasLive || this.receives || transceivers.some(sends) || this.#quiet;
    this.#become(used ? this.#transportStatus() : 'refused');
  }

  // Nobody sends anything yet, but texts.
  get #quiet() {
    const offeredNone = this.#senders !== null && sendsMedia(this.#peer.localDescription.sdp) !== true;
    return this.#peer.sctp !== null && (offeredNone || sendsMedia(this.#remote.sdp) === false);
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
        return this.#wasLive || this.receives === false || this.stream.getTracks().length > 0 ? 'live' : 'connected';
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
      this.#wasLive ||= status === 'live';
      this.#changed(this);
    }
  }

  async #bytesReceived() {
    let bytes = 0;
    (await this.getStats()).forEach(({ type, bytesReceived }) => {
      bytes += type === 'inbound-rtp' ? bytesReceived : 0;
    });
    return bytes;
  }
}
