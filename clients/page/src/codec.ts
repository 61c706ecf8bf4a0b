/** Decoding: `.ecdc` to samples at `RATE`, by the service. */

import { post, type CallOptions } from "./api";
import { RATE, deinterleave, type Channels } from "./audio";
import type { DecodePart } from "./tracks";

const SMALL = 2_000_000; // bytes of a file that may well be sent for each ten seconds
const SHORT_PART = 10; // s
const LONG_PART = 60; // s

/** All of a file. Throws `Problem`. */
export async function decodeWhole(file: Blob, channels: number, options: CallOptions): Promise<{ channels: Channels; seconds: number }> {
  const answer = await post("decompress", { output: "f32", sample_rate: RATE }, file, options);
  return { channels: deinterleave(answer.data, channels), seconds: answer.seconds };
}

/** A file part by part; `salvage`: what is intact of it. */
export function partDecoder(file: Blob, channels: number, salvage = false): DecodePart {
  return async (start, end, signal) => {
    const query = { output: "f32", sample_rate: RATE, start, end, salvage: salvage || undefined };
    const answer = await post("decompress", query, file, { signal });
    return deinterleave(answer.data, channels);
  };
}

/** Seconds of a part. Each is asked for with the whole file, so those of a large one are longer. */
export function partSecondsOf(file: Blob): number {
  return file.size < SMALL ? SHORT_PART : LONG_PART;
}
