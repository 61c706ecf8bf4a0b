import { EncodecError, invalidFile } from "../errors.js";

const MOST_BYTES = 2 ** 30;

/** The bytes of a file that is all here, or still arrives. Nothing is dropped: files are small. */
export class Bytes {
  private data: Uint8Array;
  private ended: boolean;
  private error: EncodecError | null = null;
  private waiting: (() => void)[] = [];
  length: number;

  /** All bytes, or none yet. */
  constructor(whole?: Uint8Array) {
    this.data = whole ?? new Uint8Array(65536);
    this.length = whole?.length ?? 0;
    this.ended = whole !== undefined;
  }

  push(more: Uint8Array): void {
    const length = this.length + more.length;
    if (length > MOST_BYTES) return this.end(invalidFile("the stream is longer than a gigabyte"));
    if (length > this.data.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.data.length));
      grown.set(this.data.subarray(0, this.length));
      this.data = grown;
    }
    this.data.set(more, this.length);
    this.length = length;
    this.wake();
  }

  /** No more bytes come. */
  end(error: EncodecError | null = null): void {
    this.ended = true;
    this.error ??= error;
    this.wake();
  }

  /** Resolves with whether the first `count` bytes are here, once that is certain. */
  async has(count: number): Promise<boolean> {
    while (this.length < count && !this.ended)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    if (this.length < count && this.error) throw this.error;
    return this.length >= count;
  }

  /** Bytes that are here. */
  slice(begin: number, end: number): Uint8Array {
    return this.data.subarray(begin, Math.min(end, this.length));
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

const CRC_TABLE = new Uint32Array(256).map((_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

/** CRC-32C of `data`, going on from that of what came before it. */
export function crc32c(data: Uint8Array, before = 0): number {
  let crc = ~before;
  for (const byte of data) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255]!;
  return ~crc >>> 0;
}

/** The checksum in the last four bytes; `before` covers what decides how to read them. */
export function checkCrc(data: Uint8Array, what: string, before = 0): number {
  const crc = crc32c(data.subarray(0, -4), before);
  if (data.length < 4 || u32(data, data.length - 4) !== crc)
    throw invalidFile(`the checksum of ${what} is wrong`);
  return crc;
}

export function u32(data: Uint8Array, at: number): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(at);
}

export function u32Bytes(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

export function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The number at `data[at]` and the place after it; null if `data` ends inside it. Numbers beyond
 * 2^53 come out rounded; they are beyond every limit. */
export function readVarint(data: Uint8Array, at: number): [value: number, next: number] | null {
  let value = 0;
  for (let count = 0; count < 8; count++) {
    const byte = data[at + count];
    if (byte === undefined) return null;
    value += (byte & 0x7f) * 2 ** (7 * count);
    if (byte >= 0x80) continue;
    if (byte === 0 && count) throw invalidFile("a number takes more bytes than it needs");
    return [value, at + count + 1];
  }
  throw invalidFile("a number does not end");
}

export function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Uint8Array.from([...bytes, value]);
}
