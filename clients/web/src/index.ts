/**
 * EnCodec in the browser: `.ecdc` files to samples and back, in WebAssembly, in a Web Worker.
 *
 * The weights come once from the service (`GET /models/{id}/weights`) and stay in Cache Storage.
 * What is decoded equals what the service decodes (`/decompress`), cuts too; see README.md.
 */

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

/** Every error of this package. */
export declare class EncodecError extends Error {
  readonly code: ErrorCode;
  /** The service's problem document, if there is one. */
  readonly problem?: Record<string, unknown>;
}

/** Decodes files; one worker, which holds the weights of the models it has met. */
export declare class EncodecDecoder {
  /** Starts the worker. Weights are fetched when a file needs them; see `load`. */
  static create(options?: ServiceOptions): Promise<EncodecDecoder>;
  /** Fetch a model's weights ahead; `model` as in headers or `GET /models` (`weights.name`). */
  load(model: string): Promise<void>;
  /** Open a whole file. Checks header and index, and fetches the weights if they are not here. */
  open(file: Blob | ArrayBuffer | Uint8Array): Promise<EncodecFile>;
  /** Decode bytes as they arrive; resolves when the header is there. */
  stream(bytes: ReadableStream<Uint8Array>): Promise<EncodecStream>;
  /** Ends the worker. */
  close(): void;
}

/** An open file. */
export interface EncodecFile {
  readonly info: FileInfo & { samples: number; duration: number };
  /** The part, block by block; stop iterating to stop decoding. */
  audio(part?: PartOptions): AsyncGenerator<AudioBlock, void, undefined>;
  /** The whole part at once. */
  decode(part?: PartOptions): Promise<Float32Array<ArrayBuffer>[]>;
  close(): void;
}

/** A file whose bytes are still arriving: forwards only, once. */
export interface EncodecStream {
  readonly info: FileInfo;
  audio(options?: { signal?: AbortSignal }): AsyncGenerator<AudioBlock, void, undefined>;
}

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

/** Encodes with one model. */
export declare class EncodecEncoder {
  /** Fetches the weights that the service has for the model. */
  static create(model: ModelName, options?: ServiceOptions): Promise<EncodecEncoder>;
  readonly sampleRate: number;
  readonly channels: number;
  /** kbps. */
  readonly bandwidths: number[];
  /** As headers call it. */
  readonly model: string;
  readonly hasLanguageModel: boolean;
  /** Samples at the model's rate and channels to a file. */
  encode(channels: Float32Array[], options?: EncodeOptions): Promise<Uint8Array<ArrayBuffer>>;
  /** Piece by piece: version 1 gives bytes as they are ready, version 0 all of them at the end. */
  stream(options?: EncodeOptions): Promise<EncodeStream>;
  close(): void;
}

export interface EncodeStream {
  push(channels: Float32Array[]): Promise<Uint8Array<ArrayBuffer>>;
  finish(): Promise<Uint8Array<ArrayBuffer>>;
  close(): void;
}

/** Any audio that the browser reads, at the model's rate and channels, by its own resampler. */
export declare function decodeRecording(
  recording: Blob | ArrayBuffer,
  model: ModelName,
): Promise<{ channels: Float32Array<ArrayBuffer>[]; originalRate?: number; originalName?: string }>;

/** Plays an open file through an AudioWorklet, decoding a few seconds ahead. Dispatches
 * `statechange`, `ended` and `error` (an `ErrorEvent` with the `EncodecError`). */
export declare class EncodecPlayer extends EventTarget {
  /** Without a context one is made at the file's rate (and closed with the player). With one of
   * another rate the samples are resampled. */
  static create(
    file: EncodecFile,
    options?: { context?: BaseAudioContext; assets?: string | URL },
  ): Promise<EncodecPlayer>;
  readonly context: BaseAudioContext;
  /** The output, connected to nothing but by `create` without a context, to the destination. */
  readonly node: AudioNode;
  readonly duration: number;
  /** Seconds: of what is heard now. */
  readonly currentTime: number;
  readonly state: "paused" | "waiting" | "playing" | "ended";
  play(): Promise<void>;
  pause(): void;
  /** Resolves when the samples there are decoded and go on. */
  seek(seconds: number): Promise<void>;
  close(): Promise<void>;
}
