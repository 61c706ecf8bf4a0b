import { invalidFile } from "../errors.js";
import { checkCrc, concat, crc32c, readVarint, u32Bytes, varint } from "./bytes.js";
import type { Layout } from "./layout.js";

export const FULL_CHUNK = 0xec;
export const CUT_CHUNK = 0xed;
export const LEAST_CHUNK_BYTES = 7;
/** Type and three numbers. */
export const MOST_HEAD_BYTES = 25;

export interface ChunkHead {
  number: number;
  samples: number;
  headBytes: number;
  /** Bytes of the whole chunk. */
  size: number;
}

export interface Chunk {
  number: number;
  samples: number;
  scales: number[];
  codes: Uint8Array;
}

/** The head that `data` begins with; null if `data` ends inside it. */
export function readHead(data: Uint8Array, layout: Layout): ChunkHead | null {
  const type = data[0];
  if (type === undefined) return null;
  if (type !== FULL_CHUNK && type !== CUT_CHUNK)
    throw invalidFile(`a chunk begins with ${type.toString(16)}`);
  const fields: number[] = [];
  let at = 1;
  while (fields.length < (type === FULL_CHUNK ? 2 : 3)) {
    const found = readVarint(data, at);
    if (!found) return null;
    fields.push(found[0]);
    at = found[1];
  }
  const number = fields[0]!;
  const length = fields.at(-1)!;
  const samples = type === FULL_CHUNK ? layout.full : fields[1]!;
  if (number > layout.mostNumber) throw invalidFile(`a chunk's number is ${number}`);
  if (type === CUT_CHUNK && !(samples >= 1 && samples < layout.full))
    throw invalidFile(`a chunk that is cut covers ${samples} samples`);
  const [least, most] = layout.codeBytes(samples);
  const codeBytes = length - layout.scaleBytes(samples);
  if (codeBytes < least || codeBytes > most)
    throw invalidFile(`chunk ${number} cannot be ${length} bytes long`);
  return { number, samples, headBytes: at, size: at + length + 4 };
}

export function mostChunkBytes(layout: Layout): number {
  return MOST_HEAD_BYTES + layout.scaleBytes(layout.full) + layout.codeBytes(layout.full)[1] + 4;
}

/** The chunk that is `data`, all of it, and its checksum. */
export function readChunk(data: Uint8Array, head: ChunkHead, layout: Layout): [Chunk, number] {
  const crc = checkCrc(data, `chunk ${head.number}`, layout.crc);
  const codesAt = head.headBytes + layout.scaleBytes(head.samples);
  const view = new DataView(data.buffer, data.byteOffset);
  const scales: number[] = [];
  for (let at = head.headBytes; at < codesAt; at += 4) scales.push(checkedScale(view, at));
  const codes = data.subarray(codesAt, -4);
  return [{ number: head.number, samples: head.samples, scales, codes }, crc];
}

export function checkedScale(view: DataView, at: number): number {
  const scale = view.getFloat32(at);
  if (!(scale >= 0 && scale < Infinity))
    throw invalidFile("the scale of a segment is negative or not finite");
  return scale;
}

export function chunkBytes(
  layout: Layout,
  number: number,
  samples: number,
  codes: Uint8Array,
  scales: number[],
): Uint8Array {
  const full = samples === layout.full;
  const data = concat([
    Uint8Array.of(full ? FULL_CHUNK : CUT_CHUNK),
    varint(number),
    full ? new Uint8Array() : varint(samples),
    varint(4 * scales.length + codes.length),
    ...scales.map(scaleBytes),
    codes,
  ]);
  return concat([data, u32Bytes(crc32c(data, layout.crc))]);
}

export function scaleBytes(scale: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, scale);
  return bytes;
}
