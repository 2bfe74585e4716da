// The token that the page was opened with, where the relay wants one.

const random = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');

// takeToken takes the token out of the address, which people show and pass on,
// and keeps it with the entry of the history, where a reload finds it.
export function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get('token') ?? history.state?.token ?? '';
  if (address.searchParams.has('token')) {
    address.searchParams.delete('token');
    history.replaceState({ ...history.state, token }, '', address);
  }
  return token;
}

// newUid makes up a name that the token allows. The random part keeps two
// viewers apart without asking the relay; the prefix tells a sender's operator
// what this peer is.
export function newUid(token) {
  const { uid, uid_prefix: prefix = 'viewer-' } = claims(token);
  return uid ?? prefix + random();
}

// newName makes up one for somebody who publishes, short enough to be read.
export function newName(token) {
  const { uid, uid_prefix: prefix = 'guest-' } = claims(token);
  return uid ?? prefix + random().slice(0, 4);
}

// mayPublish tells whether the token lets us be more than a viewer.
export const mayPublish = (token) => claims(token).role !== 'viewer';

// newSecret keeps our place at the relay for us.
export const newSecret = () => random() + random();

// Whether they are true is the relay's concern.
function claims(token) {
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}
