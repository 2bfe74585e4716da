// The words of the signalling protocol, as a member of a room says and hears
// them. Pure functions.

export const hello = (uid) => `HELLO ${uid}`;
export const joinRoom = (room) => `ROOM ${room}`;
export const listRoom = () => 'ROOM_PEER_LIST';
export const toMember = (uid, negotiation) => `ROOM_PEER_MSG ${uid} ${JSON.stringify(negotiation)}`;

const names = (text) => text.split(' ').filter((name) => name !== '');

// Text goes byte for byte from its sender to us: only the first space ends a
// word, all that follows belongs to the rest.
function firstWord(text) {
  const space = text.indexOf(' ');
  return space < 0 ? [text, ''] : [text.slice(0, space), text.slice(space + 1)];
}

// parse reads one message of the relay. A message that is not of the protocol
// has the type 'unknown'.
export function parse(text) {
  const [word, rest] = firstWord(text);
  switch (word) {
    case 'HELLO':
      return { type: 'hello' };
    case 'ERROR':
      return { type: 'error', reason: rest };
    case 'ROOM_OK':
      return { type: 'room', members: names(rest) };
    case 'ROOM_PEER_LIST':
      return { type: 'list', members: names(rest) };
    case 'ROOM_PEER_JOINED':
      return { type: 'joined', uid: rest };
    case 'ROOM_PEER_LEFT':
      return { type: 'left', uid: rest };
    case 'ROOM_PEER_MSG': {
      const [uid, message] = firstWord(rest);
      return { type: 'message', uid, message };
    }
    default:
      return { type: 'unknown', text };
  }
}

// parseNegotiation reads what another peer sent: `{sdp}` with a description,
// `{ice}` with a candidate (an empty one ends the candidates), or null when it
// is neither. Members that it does not know are left out.
export function parseNegotiation(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  const { sdp, ice } = message ?? {};
  if (['offer', 'answer'].includes(sdp?.type) && typeof sdp.sdp === 'string') {
    return { sdp: { type: sdp.type, sdp: sdp.sdp } };
  }
  if (typeof ice?.candidate === 'string') {
    return { ice: { candidate: ice.candidate, sdpMid: ice.sdpMid ?? null, sdpMLineIndex: mLine(ice) } };
  }
  return null;
}

// A candidate has to name its media section by one of the two; with bundling
// the first section stands for all.
const mLine = ({ sdpMid, sdpMLineIndex }) => sdpMLineIndex ?? (sdpMid == null ? 0 : null);
