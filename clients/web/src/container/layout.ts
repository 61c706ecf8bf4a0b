import { framesOf, type Model } from "../models.js";
import { packedBytes } from "./codes.js";
import { MOST_SAMPLES, type Header } from "./header.js";
import { crc32c } from "./bytes.js";

/** What follows from the header of version 1 for each chunk; see `docs/format.md`. */
export class Layout {
  /** Samples from the start of a chunk to the start of the next, and those that a full one covers. */
  readonly stride: number;
  readonly full: number;
  /** Every checksum after the header begins from this one. */
  readonly crc: number;
  readonly mostNumber: number;

  constructor(readonly header: Header) {
    const { model, chunk, id, codebooks, lm } = header;
    this.stride = chunk * (model.causal ? 320 : model.stride);
    this.full = model.causal ? this.stride : this.stride - model.stride + model.block;
    const known = [...new TextEncoder().encode(id), codebooks, lm, chunk >> 8, chunk & 255];
    this.crc = crc32c(Uint8Array.from(known));
    this.mostNumber = Math.floor(MOST_SAMPLES / this.stride);
  }

  /** Samples of each segment of a chunk that covers `samples`; a causal model's chunk is one. */
  segments(samples: number): number[] {
    const { model, chunk } = this.header;
    if (model.causal) return [samples];
    return segmentLengths(model, samples).slice(0, chunk);
  }

  frames(samples: number): number {
    return this.segments(samples).reduce((sum, part) => sum + framesOf(part), 0);
  }

  scaleBytes(samples: number): number {
    return this.header.model.causal ? 0 : 4 * this.segments(samples).length;
  }

  /** Least and most bytes of the codes. */
  codeBytes(samples: number): [number, number] {
    const codes = this.frames(samples) * this.header.codebooks;
    if (this.header.lm) return [0, 3 * codes + 16];
    return [packedBytes(codes), packedBytes(codes)];
  }

  chunks(total: number): number {
    return Math.ceil(total / this.stride);
  }

  samples(number: number, total: number): number {
    return Math.min(this.full, total - number * this.stride);
  }
}

/** One begins at every stride, even where the one before reaches the end. Only for few. */
function segmentLengths(model: Model, samples: number): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < samples; at += model.stride)
    lengths.push(Math.min(model.block, samples - at));
  return lengths;
}
