import { EncodecError } from "./errors.js";
import type { ModelName } from "./types.js";

/** Samples in a frame. */
export const HOP = 320;
export const BITS = 10;

/** What a bitstream depends on; the size of the network comes with the weights. */
export interface Model {
  name: ModelName;
  /** Hz. */
  sampleRate: number;
  channels: number;
  /** kbps, and codebooks of each. */
  bandwidths: number[];
  codebooks: number[];
  causal: boolean;
  /** Frames a second. */
  frameRate: number;
  /** Samples of a segment, and from one to the next; a causal model has none: blocks of a second. */
  block: number;
  stride: number;
}

export const MODELS: Record<ModelName, Model> = {
  encodec_24khz: {
    name: "encodec_24khz",
    sampleRate: 24000,
    channels: 1,
    bandwidths: [1.5, 3, 6, 12, 24],
    codebooks: [2, 4, 8, 16, 32],
    causal: true,
    frameRate: 75,
    block: 24000,
    stride: 24000,
  },
  encodec_48khz: {
    name: "encodec_48khz",
    sampleRate: 48000,
    channels: 2,
    bandwidths: [3, 6, 12, 24],
    codebooks: [2, 4, 8, 16],
    causal: false,
    frameRate: 150,
    block: 48000,
    stride: 47520,
  },
};

const NAME = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(?::([0-9a-f]{8})(?:\+([0-9a-f]{8}))?)?$/;

/** The model that a header names: `encodec_24khz:1a2b3c4d+5e6f7a8b`. */
export function modelOf(id: unknown): Model {
  const name = typeof id === "string" ? NAME.exec(id)?.[1] : undefined;
  if (name === undefined || !Object.hasOwn(MODELS, name))
    throw new EncodecError("invalid_file", "the header names no model that is known here");
  return MODELS[name as ModelName];
}

/** Without the language model: what the codec's own weights are called. */
export function codecId(id: string): string {
  return id.split("+", 1)[0]!;
}

export function framesOf(samples: number): number {
  return Math.ceil(samples / HOP);
}
