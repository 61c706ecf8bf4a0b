import { invalidFile } from "../errors.js";
import { type Bytes, checkCrc, concat, crc32c, readVarint, u32, u32Bytes, varint } from "./bytes.js";
import {
  type Chunk,
  chunkBytes,
  LEAST_CHUNK_BYTES,
  MOST_HEAD_BYTES,
  mostChunkBytes,
  readChunk,
  readHead,
} from "./chunk.js";
import { type Header, headerBytes1, MOST_SAMPLES } from "./header.js";
import { Layout } from "./layout.js";

const INDEX = 0xee;
const TRAILER = 8;
const RUN = 3; // equal lengths from which a group of their own is shorter

/** Where each chunk stands; equal lengths are stored once, whatever counts a file claims. */
class Lengths {
  count = 0;
  bytes = 0;
  readonly runs: { size: number; first: number; offset: number }[] = [];

  add(size: number, count = 1): void {
    if (this.runs.at(-1)?.size !== size)
      this.runs.push({ size, first: this.count, offset: this.bytes });
    this.count += count;
    this.bytes += size * count;
  }

  /** Bytes before chunk `number`, and its own. */
  locate(number: number): [offset: number, size: number] {
    let low = 0;
    for (let high = this.runs.length; high - low > 1; ) {
      const middle = (low + high) >> 1;
      if (this.runs[middle]!.first <= number) low = middle;
      else high = middle;
    }
    const run = this.runs[low]!;
    return [run.offset + (number - run.first) * run.size, run.size];
  }

  /** As in the index: groups of equal lengths, and of others. */
  toBytes(): Uint8Array {
    const groups: Uint8Array[] = [];
    let others: number[] = [];
    const flush = (): void => {
      if (others.length) groups.push(varint(2 * others.length), ...others.map(varint));
      others = [];
    };
    this.runs.forEach((run, i) => {
      const count = (this.runs[i + 1]?.first ?? this.count) - run.first;
      if (count < RUN) return others.push(...Array<number>(count).fill(run.size));
      flush();
      return groups.push(varint(2 * count + 1), varint(run.size));
    });
    flush();
    return concat(groups);
  }

  equals(other: Lengths): boolean {
    const same = (run: Lengths["runs"][0], i: number) =>
      run.size === other.runs[i]?.size && run.first === other.runs[i]?.first;
    return this.count === other.count && this.runs.length === other.runs.length &&
      this.runs.every(same);
  }
}

/** The chunks so far, each checked to follow the one before; the same for writer and reader. */
class Progress {
  samples = 0;
  readonly lengths = new Lengths();
  chain: number;
  private cut = false;

  constructor(private readonly layout: Layout) {
    this.chain = layout.crc;
  }

  add(number: number, samples: number, size: number, crc: number): void {
    const start = this.lengths.count * this.layout.stride;
    const end = start + samples;
    const follows = number === this.lengths.count && !(this.cut && start >= this.samples);
    if (!follows || (this.cut ? end !== this.samples : end < this.samples))
      throw invalidFile(`chunk ${number} does not follow those before it`);
    this.cut = samples < this.layout.full;
    this.samples = end;
    this.chain = crc32c(u32Bytes(crc), this.chain);
    this.lengths.add(size);
  }
}

interface Index {
  samples: number;
  originalSamples: number;
  chain: number;
  lengths: Lengths;
}

function readIndex(data: Uint8Array, layout: Layout, before: number): Index {
  const head = readVarint(data, 1);
  if (data[0] !== INDEX || !head || head[0] + head[1] + 4 !== data.length)
    throw invalidFile("what should be the index is none");
  checkCrc(data, "the index", layout.crc);
  const payload = data.subarray(head[1], -4);
  let at = 0;
  const next = (most: number): number => {
    const found = readVarint(payload, at);
    if (!found || found[0] > most) throw invalidFile("a number of the index cannot be");
    at = found[1];
    return found[0];
  };
  const samples = next(MOST_SAMPLES);
  const originalSamples = next(MOST_SAMPLES);
  if (!samples || at + 4 > payload.length) throw invalidFile("the index is of no audio");
  const chain = u32(payload, at);
  at += 4;
  const lengths = new Lengths();
  const most = mostChunkBytes(layout);
  while (at < payload.length) {
    const group = next(Number.MAX_SAFE_INTEGER);
    const count = Math.floor(group / 2);
    if (!count) throw invalidFile("a group of the index is empty");
    for (let i = 0; i < (group % 2 ? 1 : count); i++) {
      const size = next(most);
      if (size < LEAST_CHUNK_BYTES) throw invalidFile(`the index has a chunk of ${size} bytes`);
      lengths.add(size, group % 2 ? count : 1);
      if (lengths.bytes > before) throw invalidFile("the index has more chunks than the file");
    }
  }
  if (lengths.bytes !== before) throw invalidFile("the index has fewer chunks than the file");
  if (lengths.count !== layout.chunks(samples))
    throw invalidFile(`the index has ${lengths.count} chunks of ${samples} samples`);
  return { samples, originalSamples, chain, lengths };
}

/** The chunks of a version 1 file: by the index of a whole one, or as they arrive. */
export class ChunkFile {
  readonly layout: Layout;
  /** Null until the end of a stream is known. */
  samples: number | null = null;
  originalSamples = 0;
  private readonly begin: number;
  private readonly progress: Progress;
  private lengths: Lengths;

  constructor(private readonly bytes: Bytes, header: Header) {
    this.layout = new Layout(header);
    this.begin = header.size;
    this.progress = new Progress(this.layout);
    this.lengths = this.progress.lengths;
  }

  /** Of a file that is all here. */
  openByIndex(): void {
    const end = this.bytes.length - TRAILER;
    const trailer = this.bytes.slice(Math.max(0, end), this.bytes.length);
    if (end < this.begin || !isTrailer(trailer))
      throw invalidFile("the file has no end: it still grows, or was cut off");
    const size = u32(trailer, 0);
    const before = end - size - this.begin;
    if (before < 0) throw invalidFile("the trailer points before the first chunk");
    const index = readIndex(this.bytes.slice(end - size, end), this.layout, before);
    this.samples = index.samples;
    this.originalSamples = index.originalSamples;
    this.lengths = index.lengths;
  }

  /** How many chunks there are; at least `count` where the end is not known and they come. */
  async reach(count: number): Promise<number> {
    while (this.samples === null && this.lengths.count < count) await this.readOn();
    return this.lengths.count;
  }

  /** Chunk `number`, which `reach` has reached. */
  chunk(number: number): Chunk {
    const [offset, size] = this.lengths.locate(number);
    const data = this.bytes.slice(this.begin + offset, this.begin + offset + size);
    const head = readHead(data, this.layout);
    if (head?.size !== size || data.length !== size)
      throw invalidFile(`chunk ${number} has another length than the index says`);
    const [chunk] = readChunk(data, head, this.layout);
    const { samples } = this;
    if (chunk.number !== number ||
      (samples !== null && chunk.samples !== this.layout.samples(number, samples)))
      throw invalidFile(`where chunk ${number} belongs stands another`);
    return chunk;
  }

  /** One chunk more, or the index and the trailer. */
  private async readOn(): Promise<void> {
    const at = this.begin + this.lengths.bytes;
    const cut = (): Error =>
      invalidFile(`the file ends after ${this.lengths.count} chunks, without its end`);
    if (!(await this.bytes.has(at + 1))) throw cut();
    if (this.bytes.slice(at, at + 1)[0] === INDEX) return this.readEnd(at);
    for (let size = 2; ; size++) {
      if (!(await this.bytes.has(at + size))) throw cut();
      const head = readHead(this.bytes.slice(at, at + size), this.layout);
      if (!head) {
        if (size > MOST_HEAD_BYTES) throw invalidFile("a chunk has no end");
        continue;
      }
      if (!(await this.bytes.has(at + head.size))) throw cut();
      const [, crc] = readChunk(this.bytes.slice(at, at + head.size), head, this.layout);
      this.progress.add(head.number, head.samples, head.size, crc);
      return;
    }
  }

  private async readEnd(at: number): Promise<void> {
    const cut = invalidFile("the file ends inside its index");
    let found: [number, number] | null = null;
    for (let size = 2; !found; size++) {
      if (!(await this.bytes.has(at + size))) throw cut;
      found = readVarint(this.bytes.slice(at, at + size), 1);
    }
    if (found[0] > 64 + 4 * this.lengths.count)
      throw invalidFile(`the index says that it is ${found[0]} bytes long`);
    const end = at + found[1] + found[0] + 4;
    if (!(await this.bytes.has(end + TRAILER))) throw cut;
    const index = readIndex(this.bytes.slice(at, end), this.layout, this.lengths.bytes);
    const { samples, chain, lengths } = this.progress;
    if (index.samples !== samples || index.chain !== chain || !lengths.equals(index.lengths))
      throw invalidFile("the index does not list the chunks that are there");
    const trailer = this.bytes.slice(end, end + TRAILER);
    if (!isTrailer(trailer) || u32(trailer, 0) !== end - at)
      throw invalidFile("the trailer does not point to the index");
    if (await this.bytes.has(end + TRAILER + 1))
      throw invalidFile("something follows the end of the file");
    this.samples = samples;
    this.originalSamples = index.originalSamples;
  }
}

function isTrailer(trailer: Uint8Array): boolean {
  return trailer.length === TRAILER && String.fromCharCode(...trailer.subarray(4)) === "ECDX";
}

/** Writes a version 1 file, chunk by chunk. */
export class ChunkWriter {
  readonly layout: Layout;
  private readonly progress: Progress;

  constructor(header: Header) {
    this.layout = new Layout(header);
    this.progress = new Progress(this.layout);
  }

  get chunks(): number {
    return this.progress.lengths.count;
  }

  header(): Uint8Array {
    return headerBytes1(this.layout.header);
  }

  chunk(samples: number, codes: Uint8Array, scales: number[]): Uint8Array {
    const number = this.chunks;
    const data = chunkBytes(this.layout, number, samples, codes, scales);
    this.progress.add(number, samples, data.length, u32(data, data.length - 4));
    return data;
  }

  /** The index and the trailer. */
  finish(originalSamples: number): Uint8Array {
    const { samples, chain, lengths } = this.progress;
    const payload = concat([
      varint(samples), varint(originalSamples), u32Bytes(chain), lengths.toBytes(),
    ]);
    const index = concat([Uint8Array.of(INDEX), varint(payload.length), payload]);
    const crc = u32Bytes(crc32c(index, this.layout.crc));
    const magic = new TextEncoder().encode("ECDX");
    return concat([index, crc, u32Bytes(index.length + 4), magic]);
  }
}
