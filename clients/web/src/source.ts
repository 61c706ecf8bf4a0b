import type { Bytes } from "./container/bytes.js";
import { checkedScale, type Chunk } from "./container/chunk.js";
import { ChunkFile } from "./container/chunks.js";
import { columnsOf, joined, packedBytes, transposed, unpack } from "./container/codes.js";
import type { Header } from "./container/header.js";
import type { LanguageModel } from "./engine.js";
import { EncodecError, invalidFile } from "./errors.js";
import { framesOf } from "./models.js";

/** A segment of a model that normalises. */
export interface Segment {
  /** `[books, frames]` */
  codes: Uint16Array;
  scale: number;
}

/** The codes of a file of either version, at any place. */
export interface Source {
  readonly header: Header;
  /** Samples of the file; of a stream, null until they are known. */
  readonly samples: number | null;
  /** Resolves when the samples are known, or are at least so many. Returns how many there are. */
  reach(samples: number): Promise<number>;
  /** Of a causal model: codes `[books, stop - begin]`. */
  frames(begin: number, stop: number): Promise<Uint16Array>;
  /** Of the other model. */
  segment(index: number): Promise<Segment>;
}

/** Arithmetic of the exact language model that is known here. */
const ARITHMETIC = 1;

export function openSource(bytes: Bytes, header: Header, whole: boolean): Source {
  if (header.version === 0) return new Source0(bytes, header, whole);
  if (header.lm !== 0 && header.lm !== ARITHMETIC)
    throw new EncodecError("unsupported_file", `arithmetic ${header.lm} is not known here`);
  return new Source1(bytes, header, whole);
}

class Source0 implements Source {
  readonly samples: number;

  constructor(private readonly bytes: Bytes, readonly header: Header, whole: boolean) {
    if (header.lm)
      throw new EncodecError(
        "lm_not_portable",
        "version 0 files with a language model depend on the floating point of the machine that " +
          "wrote them: the service may decode it, a browser cannot",
      );
    this.samples = header.samples!;
    if (whole && bytes.length < header.size + this.payloadBytes())
      throw invalidFile("the file ends too early");
  }

  reach(): Promise<number> {
    return Promise.resolve(this.samples);
  }

  async frames(begin: number, stop: number): Promise<Uint16Array> {
    const { codebooks, size } = this.header;
    const first = begin * codebooks;
    const count = (stop - begin) * codebooks;
    const at = Math.floor((first * 10) / 8);
    const data = await this.read(size + at, size + packedBytes(first + count));
    return transposed(unpack(data, first * 10 - at * 8, count), stop - begin, codebooks);
  }

  async segment(index: number): Promise<Segment> {
    const { model, codebooks, size } = this.header;
    const frames = framesOf(Math.min(model.block, this.samples - index * model.stride));
    const at = size + this.offset(index);
    const data = await this.read(at, at + 4 + packedBytes(frames * codebooks));
    const scale = checkedScale(new DataView(data.buffer, data.byteOffset), 0);
    const codes = unpack(data, 32, frames * codebooks);
    return { codes: transposed(codes, frames, codebooks), scale };
  }

  private payloadBytes(): number {
    const { model, codebooks } = this.header;
    if (model.causal) return packedBytes(framesOf(this.samples) * codebooks);
    const count = Math.ceil(this.samples / model.stride);
    return this.offset(count);
  }

  /** Bytes before a segment: all before are full, but those that the end cuts, at most two. */
  private offset(index: number): number {
    const { model, codebooks } = this.header;
    const full = Math.max(0, Math.floor((this.samples - model.block) / model.stride) + 1);
    const bytes = (samples: number) => 4 + packedBytes(framesOf(samples) * codebooks);
    let sum = Math.min(index, full) * bytes(model.block);
    for (let i = full; i < index; i++) sum += bytes(this.samples - i * model.stride);
    return sum;
  }

  private async read(begin: number, end: number): Promise<Uint8Array> {
    if (!(await this.bytes.has(end))) throw invalidFile("the file ends too early");
    return this.bytes.slice(begin, end);
  }
}

/** Chunks that a language model decodes in step, which costs less than one by one. */
const TOGETHER = 4;

class Source1 implements Source {
  /** Set before codes are asked for, where the file has one. */
  lm: LanguageModel | null = null;
  private readonly file: ChunkFile;
  private readonly decoded = new Map<number, { codes: Uint16Array; scales: number[] }>();
  private loaded = -1;

  constructor(bytes: Bytes, readonly header: Header, whole: boolean) {
    this.file = new ChunkFile(bytes, header);
    if (whole) this.file.openByIndex();
  }

  get samples(): number | null {
    return this.file.samples;
  }

  async reach(samples: number): Promise<number> {
    const { layout } = this.file;
    if (this.file.samples === null) {
      const wanted = Math.ceil(samples / layout.stride) + 1; // so that the last one shows
      const count = await this.file.reach(wanted);
      if (this.file.samples === null) return (count - 1) * layout.stride;
    }
    return this.file.samples;
  }

  async frames(begin: number, stop: number): Promise<Uint16Array> {
    const { chunk, codebooks } = this.header;
    const first = Math.floor(begin / chunk);
    const last = Math.floor((stop - 1) / chunk);
    await this.load(first, last);
    const parts: Uint16Array[] = [];
    for (let n = first; n <= last; n++) parts.push(this.decoded.get(n)!.codes);
    const codes = joined(parts, codebooks);
    return columnsOf(codes, codebooks, begin - first * chunk, stop - first * chunk);
  }

  async segment(index: number): Promise<Segment> {
    const { chunk, codebooks } = this.header;
    const number = Math.floor(index / chunk);
    await this.load(number, number);
    const { codes, scales } = this.decoded.get(number)!;
    const within = index - number * chunk;
    const samples = this.file.chunk(number).samples;
    const frames = this.file.layout.segments(samples).map(framesOf);
    const begin = frames.slice(0, within).reduce((sum, some) => sum + some, 0);
    return {
      codes: columnsOf(codes, codebooks, begin, begin + frames[within]!),
      scale: scales[within]!,
    };
  }

  /** Have the codes of chunks `first` to `last`; with a language model of some more, if these
   * follow those that were asked for before. */
  private async load(first: number, last: number): Promise<void> {
    const count = await this.file.reach(last + 1);
    if (last >= count) throw invalidFile("the file ends too early");
    for (const number of [...this.decoded.keys()]) if (number < first) this.decoded.delete(number);
    let stop = last;
    if (this.lm && !this.decoded.has(last) && this.loaded === last - 1)
      stop = Math.min(this.file.samples === null ? last : count - 1, first + TOGETHER - 1);
    const wanted: Chunk[] = [];
    for (let n = first; n <= Math.max(last, stop); n++)
      if (!this.decoded.has(n)) wanted.push(this.file.chunk(n));
    if (wanted.length) this.keep(wanted);
    this.loaded = Math.max(this.loaded, last, stop);
    if (first > this.loaded || last < this.loaded - TOGETHER) this.loaded = last;
  }

  private keep(chunks: Chunk[]): void {
    const { codebooks, lm } = this.header;
    const frames = chunks.map((chunk) => this.file.layout.frames(chunk.samples));
    const codes = lm
      ? this.lm!.decode(chunks.map((chunk, i) => ({ data: chunk.codes, frames: frames[i]! })), codebooks)
      : chunks.map((chunk, i) => unpack(chunk.codes, 0, frames[i]! * codebooks));
    if (!codes) throw invalidFile("a chunk holds no codes of its language model");
    chunks.forEach((chunk, i) => {
      this.decoded.set(chunk.number, { codes: codes[i]!, scales: chunk.scales });
    });
  }
}

/** Gives a file's source the language model that it needs. */
export function useLanguageModel(source: Source, lm: LanguageModel): void {
  if (source instanceof Source1) source.lm = lm;
}
