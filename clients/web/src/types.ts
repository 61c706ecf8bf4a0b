/** Where things come from, and what to keep. */
export interface ServiceOptions {
  /** Base URL of the service, which has the weights; default: the page's own origin. */
  service?: string | URL;
  /** Sent with every request to the service, such as `Authorization`. */
  headers?: Record<string, string>;
  /** Folder of `worker.js`, `worklet.js` and `*.wasm`; default: beside this module. */
  assets?: string | URL;
  /** Keep weights in Cache Storage; default: true. */
  cache?: boolean;
  /** Called while weights are fetched. `total` is 0 where it is not known. */
  onProgress?: (loaded: number, total: number) => void;
}

export type ModelName = "encodec_24khz" | "encodec_48khz";

/** What a file says of itself. */
export interface FileInfo {
  version: 0 | 1;
  /** As in the header: `encodec_24khz:1a2b3c4d+5e6f7a8b`. */
  model: string;
  name: ModelName;
  /** Hz. */
  sampleRate: number;
  channels: number;
  /** Of one channel at `sampleRate`; null for a stream of version 1, which tells at its end. */
  samples: number | null;
  /** Seconds; null as `samples`. */
  duration: number | null;
  codebooks: number;
  /** kbps of the codes, as `bandwidth` of the service. */
  bandwidth: number;
  /** Whether a language model coded the codes. */
  lm: boolean;
  /** Version 1 only, where the header says so: of the recording before. */
  originalRate?: number;
  originalChannels?: number;
  originalName?: string;
  /** dB, applied to the decoded samples. */
  gain: number;
  tags: [string, string][];
}

/** Samples of each channel that follow one another, from sample `start` of the file on. */
export interface AudioBlock {
  start: number;
  channels: Float32Array<ArrayBuffer>[];
}

/** A part of a file, in seconds as the service's `start` and `end`; default: all of it. */
export interface PartOptions {
  start?: number;
  end?: number;
  signal?: AbortSignal;
}

/** What goes wrong has a `code`; `detail` is for people. */
export type ErrorCode =
  /** The file is damaged, cut off, or no `.ecdc` file. */
  | "invalid_file"
  /** A version 0 file with a language model: floating point of the machine that wrote it. */
  | "lm_not_portable"
  /** An arithmetic or version that this package does not know. */
  | "unsupported_file"
  /** The service has not the weights that the file names (404). */
  | "weights_unavailable"
  /** The service cannot be reached or answers with another error. */
  | "service_error"
  /** Weights that are not what they say. */
  | "invalid_weights"
  /** Samples, bandwidth, part of a file: what the caller passed cannot be. */
  | "invalid_argument"
  /** No WebAssembly SIMD, no AudioWorklet. */
  | "unsupported_browser"
  /** Memory ran out, or the engine failed. */
  | "engine_failed"
  /** Closed, or aborted by its signal. */
  | "aborted";

export interface EncodeOptions {
  /** kbps; default 6. */
  bandwidth?: number;
  /** Container version; default 1. */
  format?: 0 | 1;
  /** Code the codes with the exact language model (format 1 only). */
  lm?: boolean;
  /** For the header of format 1: of the recording before it was brought to the model's rate. */
  originalRate?: number;
  originalChannels?: number;
  originalName?: string;
  originalSamples?: number;
  tags?: [string, string][];
  signal?: AbortSignal;
  /** Seconds encoded so far. */
  onProgress?: (seconds: number) => void;
}
