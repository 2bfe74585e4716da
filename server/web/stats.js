// Reads a getStats report (W3C webrtc-stats) into the few figures that people
// look at. Pure functions.

import { codecName } from './sdp.js';

const nothing = { at: 0, bytes: 0, frames: 0 };

// figures sums up the media that comes in. `previous` is its own last result:
// rates are taken between the two, and are null without one.
export function figures(report, previous = nothing) {
  const streams = ['video', 'audio'].flatMap((wanted) =>
    report.filter(({ type, kind }) => type === 'inbound-rtp' && kind === wanted),
  );
  const video = streams.find(({ kind }) => kind === 'video');
  const at = Math.max(0, ...streams.map(({ timestamp }) => timestamp));
  const bytes = streams.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0);
  const frames = video?.framesDecoded ?? 0;
  const seconds = previous.at > 0 ? (at - previous.at) / 1000 : 0;
  const rate = (now, before) => (seconds > 0 && now >= before ? (now - before) / seconds : null);
  return {
    at,
    bytes,
    frames,
    width: video?.frameWidth ?? 0,
    height: video?.frameHeight ?? 0,
    framesPerSecond: video ? rate(frames, previous.frames) : null,
    bitsPerSecond: rate(bytes * 8, previous.bytes * 8),
    codecs: streams.map(({ codecId }) => codecOf(report, codecId)).filter((name) => name !== ''),
  };
}

function codecOf(report, id) {
  const codec = report.find((entry) => entry.type === 'codec' && entry.id === id);
  return codecName(codec?.mimeType.split('/')[1] ?? '');
}

const unknown = '–';

// words puts figures into the words of the overlay.
export function words({ width, height, framesPerSecond, bitsPerSecond, codecs }) {
  return {
    resolution: width > 0 ? `${width} × ${height}` : unknown,
    frames: framesPerSecond === null ? unknown : `${Math.round(framesPerSecond)} per second`,
    bitrate: bitsPerSecond === null ? unknown : bitrate(bitsPerSecond),
    codec: codecs.join(' · ') || unknown,
  };
}

function bitrate(bitsPerSecond) {
  return bitsPerSecond < 1e6 ? `${Math.round(bitsPerSecond / 1e3)} kbit/s` : `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
}
