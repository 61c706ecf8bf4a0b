import type { Network } from "./engine.js";
import { invalidFile, throwIfAborted } from "./errors.js";
import { framesOf, HOP } from "./models.js";
import type { Source } from "./source.js";
import type { AudioBlock } from "./types.js";

// Of version 1 (`docs/format.md` and `model_core/codec/seeking.py`): the causal decoder begins anew
// every RESTART frames, after PREROLL frames that are not heard, and fades over within FADE frames.
const RESTART = 4560; // 60.8 s
const PREROLL = 304; // 4 s
const FADE = 2; // 27 ms
const BLOCK_FRAMES = 75; // of one call: a second

type Samples = Float32Array<ArrayBuffer>[];

export interface Part {
  /** Samples. */
  start: number;
  /** Null: the end. */
  end: number | null;
  /** Begin the causal decoder `PREROLL` frames before `start`, not where the whole file does: the
   * first sound comes sooner, and is not the same to the last bit. */
  quick?: boolean;
  signal?: AbortSignal;
}

/** Seconds to samples as the service rounds them: to the nearest, halves to even. */
export function toSamples(seconds: number, rate: number): number {
  const exact = seconds * rate;
  const low = Math.floor(exact);
  if (exact - low === 0.5) return low + (low % 2);
  return Math.round(exact);
}

/** The samples of a part, block by block. */
export async function* decoded(
  network: Network,
  source: Source,
  part: Part,
): AsyncGenerator<AudioBlock> {
  const gain = Math.fround(10 ** (source.header.gain / 20));
  const { causal } = source.header.model;
  const blocks = causal ? ofStream(network, source, part) : ofSegments(network, source, part);
  for await (const { start: place, channels } of blocks) {
    const end = part.end ?? source.samples ?? Infinity;
    const from = Math.max(0, part.start - place);
    const to = Math.min(channels[0]!.length, end - place);
    if (from < to) {
      const cut = channels.map((channel) => channel.slice(from, to));
      for (const channel of cut) finish(channel, gain);
      yield { start: place + from, channels: cut };
    }
    if (place + channels[0]!.length >= end) return;
  }
}

function finish(channel: Float32Array, gain: number): void {
  for (let i = 0; i < channel.length; i++) {
    if (!Number.isFinite(channel[i]!)) throw invalidFile("it decodes to samples that are not finite");
    if (gain !== 1) channel[i]! *= gain;
  }
}

/** Blocks from `part.start` or before it on. */
async function* ofStream(
  network: Network,
  source: Source,
  part: Part,
): AsyncGenerator<AudioBlock> {
  const { version } = source.header;
  const frame = Math.floor(part.start / HOP);
  let begin = version ? Math.floor(Math.max(0, frame - FADE) / RESTART) * RESTART : 0;
  if (part.quick) begin = Math.max(begin, frame - PREROLL < begin ? begin : frame);
  let fading: Samples = [];
  for (;;) {
    const stop = version ? (Math.floor(begin / RESTART) + 1) * RESTART : Infinity;
    let place = begin * HOP;
    const from = place;
    let ended = true;
    for await (const block of stream(network, source, begin, stop + FADE, part.signal)) {
      const samples = faded(fading, block, place - from, FADE * HOP);
      fading = fading.map((channel) => channel.subarray(block[0]!.length));
      if (!fading[0]?.length) fading = [];
      const count = samples[0]!.length;
      const ready = Math.max(0, Math.min(count, stop * HOP - place));
      if (ready < count) {
        ended = false;
        const rest = samples.map((channel) => channel.slice(ready));
        fading = fading.length ? fading.map((old, c) => append(old, rest[c]!)) : rest;
      }
      if (ready) yield { start: place, channels: samples.map((x) => x.slice(0, ready)) };
      place += ready;
    }
    if (ended) return;
    begin = stop;
  }
}

function append(a: Float32Array, b: Float32Array): Float32Array<ArrayBuffer> {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** The samples of frames `begin` to `stop`, by a decoder that begins `PREROLL` before. */
async function* stream(
  network: Network,
  source: Source,
  begin: number,
  stop: number,
  signal?: AbortSignal,
): AsyncGenerator<Samples> {
  const state = network.newState();
  try {
    let at = Math.max(0, begin - PREROLL);
    let dropped = (begin - at) * HOP;
    let place = begin * HOP;
    while (at < stop) {
      throwIfAborted(signal);
      const known = await source.reach(Math.min(stop, at + BLOCK_FRAMES) * HOP);
      const ends = source.samples !== null;
      const total = ends ? framesOf(known) : Math.floor(known / HOP);
      const to = Math.min(stop, at + BLOCK_FRAMES, total);
      if (to <= at) return;
      const codes = await source.frames(at, to);
      const last = ends && to === total;
      let samples = network.decode(codes, source.header.codebooks, state, last);
      const skipped = Math.min(dropped, samples[0]!.length);
      dropped -= skipped;
      const left = ends ? known - place : Infinity;
      samples = samples.map((channel) => channel.subarray(skipped, skipped + left));
      at = to;
      place += samples[0]!.length;
      if (samples[0]!.length) yield samples;
      if (last) return;
    }
  } finally {
    state.free();
  }
}

/** `fresh`, `place` samples after a restart, with what is left of the old stream fading out. */
function faded(old: Samples, fresh: Samples, place: number, length: number): Samples {
  if (!old.length) return fresh;
  return fresh.map((channel, c) => {
    const mixed = channel.slice();
    const some = Math.min(old[c]!.length, channel.length);
    for (let i = 0; i < some; i++) {
      const weight = Math.fround(Math.fround(place + i + 0.5) / length);
      mixed[i] = Math.fround(old[c]![i]! * Math.fround(1 - weight)) + Math.fround(channel[i]! * weight);
    }
    return mixed;
  });
}

async function* ofSegments(
  network: Network,
  source: Source,
  part: Part,
): AsyncGenerator<AudioBlock> {
  const { stride, block } = source.header.model;
  const { codebooks } = source.header;
  let index = Math.max(0, Math.floor(part.start / stride) - 1); // it reaches into the next one
  let overlap: OverlapAdd | null = null;
  for (;; index++) {
    throwIfAborted(part.signal);
    const known = await source.reach((index + 1) * stride + 1);
    const total = source.samples ?? Infinity;
    if (index * stride >= Math.min(known, total)) return;
    const { codes, scale } = await source.segment(index);
    const samples = network.decode(codes, codebooks, null, true, scale);
    overlap ??= new OverlapAdd(stride, framesOf(Math.min(block, total)) * HOP);
    const last = (index + 1) * stride >= total;
    const joined = overlap.push(samples, last);
    const place = index * stride;
    yield { start: place, channels: joined.map((channel) => channel.slice(0, total - place)) };
    if (last) return;
  }
}

/** Joins segments that start `stride` samples apart; as `engine/overlap.py`. */
class OverlapAdd {
  private readonly weights: Float32Array;
  private sum: Samples = [];
  private carried = new Float32Array(0);

  /** `length`: samples of the first segment as decoded; weights are cut from its triangle. */
  constructor(private readonly stride: number, length: number) {
    const step = Math.fround(1 / Math.fround(length + 1));
    const middle = Math.floor((length + 2) / 2);
    this.weights = new Float32Array(length).map((_, i) => {
      const number = i + 1;
      const t = Math.fround(number < middle ? step * number : 1 - step * (length + 1 - number));
      return 0.5 - Math.abs(Math.fround(t - 0.5));
    });
  }

  /** The samples that no later segment can change. */
  push(segment: Samples, last: boolean): Samples {
    const length = segment[0]!.length;
    const weights = this.weights.slice(0, length);
    const total = segment.map((channel, c) => {
      const sum = channel.map((x, i) => weights[i]! * x);
      const before = this.sum[c];
      for (let i = 0; i < Math.min(length, before?.length ?? 0); i++) sum[i]! += before![i]!;
      return sum;
    });
    for (let i = 0; i < Math.min(length, this.carried.length); i++) weights[i]! += this.carried[i]!;
    const ready = last ? length : this.stride;
    this.sum = total.map((channel) => channel.slice(ready));
    this.carried = weights.slice(ready);
    return total.map((channel) => channel.slice(0, ready).map((x, i) => x / weights[i]!));
  }
}
