// The little that this page reads out of a session description (RFC 8866).
// Pure functions.

const value = (sdp, line) => sdp.match(new RegExp(`^${line}(.*)$`, 'm'))?.[1].trim();
const sessionId = (sdp) => value(sdp, 'o=')?.split(' ')[1];
const userFragment = (sdp) => value(sdp, 'a=ice-ufrag:');

// sameConnection tells whether two descriptions come from one RTCPeerConnection
// of the remote peer: the same session (RFC 8829, 5.2.1), or the same ICE
// credentials where an implementation numbers each description anew.
export function sameConnection(a, b) {
  return sessionId(a) === sessionId(b) || userFragment(a) === userFragment(b);
}

// sendsMedia tells what a description says about its author: true if it sends,
// false if it receives only, null if nothing is agreed on.
export function sendsMedia(sdp) {
  const [session, ...sections] = sdp.split(/^m=/m);
  const directions = sections
    .filter((section) => /^(audio|video) /.test(section) && !rejected(section))
    .map((section) => direction(section) ?? direction(session) ?? 'sendrecv');
  if (directions.some((one) => one === 'sendrecv' || one === 'sendonly')) {
    return true;
  }
  return directions.includes('recvonly') ? false : null;
}

// In an offer a section that is to share another one's transport has port 0 as well
// (RFC 9143, 6).
const rejected = (section) => /^\S+ 0 /.test(section) && !/^a=bundle-only\s*$/m.test(section);

const direction = (part) => part.match(/^a=(sendrecv|sendonly|recvonly|inactive)\s*$/m)?.[1];

// Repair and redundancy formats carry no media of their own.
const notCodecs = new Set(['RTX', 'RED', 'ULPFEC', 'FLEXFEC-03', 'CN', 'TELEPHONE-EVENT']);

// codecs lists the codecs that a description names, most wanted first, each
// once: `{ audio: ['Opus'], video: ['VP8', 'H264'] }`.
export function codecs(sdp) {
  const found = { audio: [], video: [] };
  let list = null;
  for (const line of sdp.split(/\r?\n/)) {
    if (line.startsWith('m=')) {
      list = found[line.slice(2).split(' ')[0]] ?? null;
    }
    const name = line.match(/^a=rtpmap:\d+ ([^/]+)/)?.[1];
    if (list && name && !notCodecs.has(name.toUpperCase()) && !list.includes(codecName(name))) {
      list.push(codecName(name));
    }
  }
  return found;
}

// codecName writes a codec the way people do. RTP's names have no case.
export function codecName(name) {
  return name.toUpperCase() === 'OPUS' ? 'Opus' : name;
}
