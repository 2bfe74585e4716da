// Cameras, microphones and screens as the browser gives them, and its refusals
// in plain words.

const wishes = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
};

const names = { audio: 'microphone', video: 'camera' };

// unavailable says why the browser gives no devices at all, '' if it does.
export function unavailable() {
  if (navigator.mediaDevices?.getUserMedia) {
    return '';
  }
  return isSecureContext
    ? 'This browser gives pages no camera or microphone.'
    : 'Browsers give camera and microphone only to pages from https:// or from localhost. ' +
        'Start the relay with --tls-self-signed and open this page with https://, or open it on the relay’s own machine.';
}

export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

// openDevices asks for a device of each kind that `wanted` has: `{ video: '' }`
// is any camera, `{ audio: id }` that microphone. It gives `{ tracks, problems }`,
// both by kind. People are asked once where the browser can do that.
export async function openDevices(wanted) {
  const kinds = Object.keys(wanted);
  const opened = { tracks: {}, problems: {} };
  const error = await open(kinds, wanted, opened);
  if (!error) {
    return opened;
  }
  const forbidden = error.name === 'NotAllowedError' ? await denied(kinds) : [];
  for (const kind of kinds) {
    const own = kinds.length === 1 || forbidden.includes(kind) || refusedAll(error, forbidden);
    const problem = own ? error : await open([kind], wanted, opened);
    if (problem) {
      opened.problems[kind] = explain(problem, names[kind]);
    }
  }
  return opened;
}

// Somebody who has just said no is not asked again.
const refusedAll = ({ name }, forbidden) => name === 'NotAllowedError' && forbidden.length === 0;

async function open(kinds, wanted, { tracks }) {
  try {
    const constraints = Object.fromEntries(kinds.map((kind) => [kind, constraint(kind, wanted[kind])]));
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    stream.getTracks().forEach((track) => (tracks[track.kind] = track));
    return null;
  } catch (error) {
    return error;
  }
}

const constraint = (kind, id) => ({ ...wishes[kind], ...(id && { deviceId: { exact: id } }) });

async function denied(kinds) {
  const asked = kinds.map(async (kind) => {
    const permission = await navigator.permissions?.query({ name: names[kind] }).catch(() => null);
    return permission?.state === 'denied' ? kind : null;
  });
  return (await Promise.all(asked)).filter(Boolean);
}

function explain({ name, message }, device) {
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return `The browser does not let this page use the ${device}. Allow it in the settings next to the address, then try again.`;
    case 'NotFoundError':
      return `No ${device} was found.`;
    case 'NotReadableError':
    case 'AbortError':
      return `The ${device} cannot be opened. Another program may be using it.`;
    case 'OverconstrainedError':
      return `That ${device} is not there any more. Choose another one.`;
    default:
      return `The ${device} cannot be opened: ${message}`;
  }
}

// openScreen asks what to share. It gives `{ track }`, or `{ problem }`.
export async function openScreen() {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: false });
    const [track] = stream.getVideoTracks();
    track.contentHint = 'detail';
    return { track };
  } catch ({ name, message }) {
    const problem =
      name === 'NotAllowedError'
        ? 'The screen is not shared: the choice was cancelled, or the browser does not allow it.'
        : `The screen cannot be shared: ${message}`;
    return { problem };
  }
}

// listDevices gives `{ audio, video }`, each a list of `{ id, label }`.
export async function listDevices() {
  const found = { audio: [], video: [] };
  for (const { kind, deviceId, label } of (await navigator.mediaDevices?.enumerateDevices()) ?? []) {
    const list = { audioinput: found.audio, videoinput: found.video }[kind];
    if (list && deviceId !== '') {
      list.push({ id: deviceId, label: label || `${kind === 'audioinput' ? 'Microphone' : 'Camera'} ${list.length + 1}` });
    }
  }
  return found;
}
