import { concat } from "./container/bytes.js";
import { scaleBytes } from "./container/chunk.js";
import { ChunkWriter } from "./container/chunks.js";
import { columnsOf, joined, pack, transposed } from "./container/codes.js";
import { headerBytes0 } from "./container/header.js";
import type { LanguageModel, Network, StreamState } from "./engine.js";
import { EncodecError } from "./errors.js";
import type { Model } from "./models.js";
import type { EncodeOptions } from "./types.js";

/** Samples beyond this may overflow the network; 1 is full scale. */
const LOUDEST = 1e9;
const CHUNK_FRAMES = 76; // about a second, whole bytes
const LM_CHUNK_FRAMES = 304;

interface Block {
  codes: Uint16Array;
  scale: number | null;
}

/** Where codes go. */
interface Packer {
  push(blocks: Block[]): Uint8Array[];
  finish(blocks: Block[], samples: number): Uint8Array[];
}

/** Samples in, a file out; what `codec/compressing.py` and `codec/chunked.py` do at effort 0. */
export class Encoding {
  private readonly books: number;
  private readonly packer: Packer;
  private readonly state: StreamState | null;
  private waiting: Float32Array[];
  private samples = 0;

  /** `id`: what the header calls the model. */
  constructor(
    private readonly network: Network,
    private readonly model: Model,
    id: string,
    lm: LanguageModel | null,
    options: EncodeOptions,
  ) {
    const { bandwidth = 6, format = 1 } = options;
    const place = model.bandwidths.indexOf(bandwidth);
    if (place < 0)
      throw invalid(`${model.name} has no bandwidth of ${bandwidth} kbps`);
    if (format === 0 && lm) throw invalid("format 0 with a language model is not for browsers");
    this.books = model.codebooks[place]!;
    this.packer = format
      ? new Packer1(model, id, this.books, lm, options)
      : new Packer0(model, id, this.books);
    this.state = model.causal ? network.newState() : null;
    this.waiting = Array.from({ length: model.channels }, () => new Float32Array(0));
  }

  push(channels: Float32Array[]): Uint8Array<ArrayBuffer> {
    this.check(channels);
    this.samples += channels[0]!.length;
    this.waiting = this.waiting.map((old, c) => {
      const both = new Float32Array(old.length + channels[c]!.length);
      both.set(old);
      both.set(channels[c]!, old.length);
      return both;
    });
    const blocks: Block[] = [];
    while (this.waiting[0]!.length >= this.model.block) blocks.push(this.next(false));
    return concat(this.packer.push(blocks));
  }

  finish(): Uint8Array<ArrayBuffer> {
    if (!this.samples) throw invalid("there are no samples to encode");
    const blocks: Block[] = [];
    while (this.waiting[0]!.length)
      blocks.push(this.next(this.waiting[0]!.length <= this.model.block));
    return concat(this.packer.finish(blocks, this.samples));
  }

  free(): void {
    this.state?.free();
  }

  private next(last: boolean): Block {
    const { block, stride, causal } = this.model;
    const samples = this.waiting.map((channel) => channel.slice(0, block));
    this.waiting = this.waiting.map((channel) => channel.slice(stride));
    const scale = causal ? null : normalise(samples);
    return { codes: this.network.encode(samples, this.books, this.state, last), scale };
  }

  private check(channels: Float32Array[]): void {
    if (channels.length !== this.model.channels)
      throw invalid(`${this.model.name} has ${this.model.channels} channels`);
    for (const channel of channels) {
      if (channel.length !== channels[0]!.length) throw invalid("channels of different lengths");
      for (const x of channel)
        if (!(Math.abs(x) <= LOUDEST))
          throw invalid("the audio has samples that are NaN, infinite or beyond ±1e9");
    }
  }
}

/** A segment's scale, by which its samples are divided. */
function normalise(samples: Float32Array[]): number {
  const count = samples[0]!.length;
  let power = 0;
  for (let i = 0; i < count; i++) {
    let mono = 0;
    for (const channel of samples) mono += channel[i]!;
    mono /= samples.length;
    power += mono * mono;
  }
  const scale = Math.fround(Math.fround(1e-8) + Math.fround(Math.sqrt(Math.fround(power / count))));
  for (const channel of samples) for (let i = 0; i < count; i++) channel[i]! /= scale;
  return scale;
}

class Packer0 implements Packer {
  private readonly parts: Uint8Array[] = [];
  private readonly blocks: Block[] = [];

  constructor(
    private readonly model: Model,
    private readonly id: string,
    private readonly books: number,
  ) {}

  push(blocks: Block[]): Uint8Array[] {
    this.blocks.push(...blocks); // the header, which says the length, comes first
    return [];
  }

  finish(blocks: Block[], samples: number): Uint8Array[] {
    this.push(blocks);
    const packed = (codes: Uint16Array) =>
      pack(transposed(codes, this.books, codes.length / this.books));
    if (this.model.causal)
      this.parts.push(packed(joined(this.blocks.map((block) => block.codes), this.books)));
    else
      for (const { codes, scale } of this.blocks)
        this.parts.push(scaleBytes(scale!), packed(codes));
    return [headerBytes0(this.id, samples, this.books), ...this.parts];
  }
}

class Packer1 implements Packer {
  private readonly writer: ChunkWriter;
  private readonly originalSamples: number;
  private blocks: Block[] = [];
  private begun = false;

  constructor(
    model: Model,
    id: string,
    private readonly books: number,
    private readonly lm: LanguageModel | null,
    options: EncodeOptions,
  ) {
    this.originalSamples = options.originalSamples ?? 0;
    this.writer = new ChunkWriter({
      id,
      model,
      codebooks: books,
      lm: lm ? 1 : 0,
      chunk: model.causal ? (lm ? LM_CHUNK_FRAMES : CHUNK_FRAMES) : 1,
      rate: options.originalRate,
      channels: options.originalChannels,
      name: options.originalName,
      gain: 0,
      tags: options.tags ?? [],
      version: 1,
      size: 0,
      samples: null,
    });
  }

  push(blocks: Block[]): Uint8Array[] {
    this.blocks.push(...blocks);
    return this.write(null);
  }

  finish(blocks: Block[], samples: number): Uint8Array[] {
    this.blocks.push(...blocks);
    return [...this.write(samples), this.writer.finish(this.originalSamples)];
  }

  /** The chunks that are complete; with `total`, all of them. */
  private write(total: number | null): Uint8Array[] {
    const { layout } = this.writer;
    const parts = this.begun ? [] : [this.writer.header()];
    this.begun = true;
    while (this.blocks.length) {
      const number = this.writer.chunks;
      const samples = total === null ? layout.full : layout.samples(number, total);
      const frames = layout.frames(samples);
      const here = this.blocks.reduce((sum, block) => sum + block.codes.length / this.books, 0);
      if (here < frames) break;
      const { codes, scales } = this.take(frames);
      const packed = this.lm ? this.lm.encode(codes, this.books) : pack(codes);
      parts.push(this.writer.chunk(samples, packed, scales));
    }
    return parts;
  }

  /** The next `frames` frames, and the scales of their segments. */
  private take(frames: number): { codes: Uint16Array; scales: number[] } {
    const parts: Uint16Array[] = [];
    const scales: number[] = [];
    while (frames) {
      const { codes, scale } = this.blocks.shift()!;
      const here = codes.length / this.books;
      const some = Math.min(frames, here);
      parts.push(columnsOf(codes, this.books, 0, some));
      if (scale !== null) scales.push(scale);
      if (some < here)
        this.blocks.unshift({ codes: columnsOf(codes, this.books, some, here), scale });
      frames -= some;
    }
    return { codes: joined(parts, this.books), scales };
  }
}

function invalid(message: string): EncodecError {
  return new EncodecError("invalid_argument", message);
}
