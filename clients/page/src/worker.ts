/** The worker: keeps an original and what was made of it, and measures them. */

import { findLag, picture, quality, type Picture, type Quality } from "./analysis";
import { difference, mixed, shifted, type Channels } from "./audio";

/** What can be asked of the worker; each is answered with its `Answers`. */
export type Request =
  /** Take this original; what was there before is dropped. */
  | { kind: "original"; channels: Channels }
  /** Take what was decoded, and say how it compares up to `limit` Hz. */
  | { kind: "decoded"; channels: Channels; limit: number }
  /** Compare something else with the original, without keeping it. */
  | { kind: "measure"; channels: Channels; limit: number }
  /** Pictures of original, decoded and difference between two samples. */
  | { kind: "pictures"; from: number; to: number; columns: number; rows: number };

export interface Answers {
  original: null;
  /** `lag`: samples by which the original has to be shifted to be in step. */
  decoded: { lag: number; quality: Quality };
  measure: Quality;
  /** In the order original, decoded, difference; only what is there. */
  pictures: Picture[];
}

let original: Channels = [];
let aligned: Channels = [];
let decoded: Channels = [];
let lag: number | null = null;

function answer(request: Request): Answers[Request["kind"]] {
  switch (request.kind) {
    case "original":
      [original, aligned, decoded, lag] = [request.channels, request.channels, [], null];
      return null;
    case "decoded":
      decoded = request.channels;
      lag ??= findLag(original, decoded);
      aligned = shifted(original, lag, decoded[0]!.length);
      return { lag, quality: quality(aligned, decoded, request.limit) };
    case "measure":
      return quality(shifted(original, lag ?? 0, request.channels[0]!.length), request.channels, request.limit);
    case "pictures": {
      const { from, to, columns, rows } = request;
      const signals = [aligned];
      if (decoded.length) signals.push(decoded, difference(mixed(aligned, decoded.length), decoded));
      return signals.map((signal) => picture(signal, from, to, columns, rows));
    }
  }
}

self.onmessage = ({ data: { id, request } }: MessageEvent<{ id: number; request: Request }>) => {
  self.postMessage({ id, answer: answer(request) });
};
