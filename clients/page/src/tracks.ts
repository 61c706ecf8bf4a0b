/** What a player can play: samples that are here, and files that are decoded part by part. */

import { RATE, toBuffer, type Channels } from "./audio";
import type { Part, Track } from "./player";

/** All of it is here, as one part. */
export function wholeTrack(channels: Channels): Track {
  const buffer = toBuffer(channels);
  const part = { buffer, start: 0, end: buffer.length / RATE };
  return { part: () => Promise.resolve(part) };
}

/** Decodes seconds `start` to `end` of something, at `RATE`. */
export type DecodePart = (start: number, end: number, signal: AbortSignal) => Promise<Channels>;

const MARGIN = 0.05; // s decoded beyond both ends and cut off, since resampling bends the ends
const KEPT = 24; // parts

/** Decoded part by part, when they are needed. `onPart` is called for each that arrives. */
export function decodedTrack(
  decode: DecodePart,
  duration: number,
  partSeconds: number,
  onPart: (start: number, channels: Channels) => void = () => {},
): Track {
  const parts = new Map<number, Part>();

  async function fetchPart(index: number, signal: AbortSignal): Promise<Part> {
    const start = index * partSeconds;
    const end = Math.min(duration, start + partSeconds);
    const before = Math.min(MARGIN, start);
    const decoded = await decode(start - before, Math.min(duration, end + MARGIN), signal);
    const from = Math.round(before * RATE);
    const channels = decoded.map((channel) => channel.slice(from, from + Math.round((end - start) * RATE)));
    onPart(start, channels);
    return { buffer: toBuffer(channels), start, end };
  }

  return {
    async part(at, signal) {
      const last = Math.max(0, Math.ceil(duration / partSeconds) - 1);
      const index = Math.min(last, Math.floor(at / partSeconds + 1e-9));
      const found = parts.get(index) ?? (await fetchPart(index, signal));
      parts.delete(index);
      parts.set(index, found); // the last one used stands last
      if (parts.size > KEPT) parts.delete(parts.keys().next().value!);
      return found;
    },
  };
}
