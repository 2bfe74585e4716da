// Texts to and from one member, on the data channels of a connection.

const label = 'page';
const mostWaiting = 1 << 20; // bytes that the browser may hold for a slow member

// Channels takes every channel that the member opens, and calls `text(text)` for
// each text that arrives on any of them.
export class Channels {
  #peer;
  #text;
  #channels = [];

  constructor(peer, text) {
    this.#peer = peer;
    this.#text = text;
    peer.addEventListener('datachannel', ({ channel }) => this.#add(channel));
  }

  // open opens a channel of our own, and so gives an offer a section for all.
  open() {
    this.#add(this.#peer.createDataChannel(label));
  }

  // send tells whether the text is on its way: a channel has to be open.
  send(text) {
    const channel = this.#channels.find(({ readyState }) => readyState === 'open');
    if (!channel || channel.bufferedAmount > mostWaiting) {
      return false;
    }
    channel.send(text);
    return true;
  }

  #add(channel) {
    this.#channels.push(channel);
    channel.addEventListener('message', ({ data }) => typeof data === 'string' && this.#text(data));
  }
}
