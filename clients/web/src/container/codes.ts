import { BITS } from "../models.js";

/** `count` numbers of 10 bits from bit `begin` on, least significant bit first. */
export function unpack(data: Uint8Array, begin: number, count: number): Uint16Array {
  const codes = new Uint16Array(count);
  for (let i = 0, bit = begin; i < count; i++, bit += BITS) {
    const at = bit >>> 3;
    const three = data[at]! | (data[at + 1]! << 8) | ((data[at + 2] ?? 0) << 16);
    codes[i] = (three >>> (bit & 7)) & 1023;
  }
  return codes;
}

/** The inverse, filled up to a whole byte. */
export function pack(codes: Uint16Array): Uint8Array {
  const data = new Uint8Array(packedBytes(codes.length));
  for (let i = 0, bit = 0; i < codes.length; i++, bit += BITS) {
    const bits = codes[i]! << (bit & 7);
    for (let at = bit >>> 3, left = bits; left; at++, left >>>= 8) data[at]! |= left & 255;
  }
  return data;
}

export function packedBytes(count: number): number {
  return Math.ceil((count * BITS) / 8);
}

/** `[rows, columns]` to `[columns, rows]`. */
export function transposed(codes: Uint16Array, rows: number, columns: number): Uint16Array {
  const turned = new Uint16Array(codes.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) turned[c * rows + r] = codes[r * columns + c]!;
  return turned;
}

/** Columns `begin` to `end` of `[rows, columns]`. */
export function columnsOf(
  codes: Uint16Array,
  rows: number,
  begin: number,
  end: number,
): Uint16Array<ArrayBuffer> {
  const columns = codes.length / rows;
  const part = new Uint16Array(rows * (end - begin));
  for (let r = 0; r < rows; r++)
    part.set(codes.subarray(r * columns + begin, r * columns + end), r * (end - begin));
  return part;
}

/** `[rows, n]` of each, side by side. */
export function joined(parts: Uint16Array[], rows: number): Uint16Array<ArrayBuffer> {
  const columns = parts.reduce((sum, part) => sum + part.length / rows, 0);
  const whole = new Uint16Array(rows * columns);
  let at = 0;
  for (const part of parts) {
    const some = part.length / rows;
    for (let r = 0; r < rows; r++)
      whole.set(part.subarray(r * some, (r + 1) * some), r * columns + at);
    at += some;
  }
  return whole;
}
