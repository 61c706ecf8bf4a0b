import type { PlainError } from "./errors.js";
import type { EncodeOptions, FileInfo, ModelName } from "./types.js";

/** What the page asks of the worker; each request is answered once. */
export type Request =
  | { ask: "start"; service: string; headers: Record<string, string>; wasm: string; cache: boolean }
  | { ask: "load"; model: string }
  | { ask: "open"; data: ArrayBuffer }
  | { ask: "stream" } // then "bytes", until the header is there and to the end
  | { ask: "header"; file: number }
  | { ask: "bytes"; file: number; data: Uint8Array<ArrayBuffer> | null; error?: PlainError }
  | { ask: "audio"; file: number; start: number; end: number | null } // a reading; then "next"
  | { ask: "next"; reading: number }
  | { ask: "stop"; reading: number }
  | { ask: "close"; file: number }
  | { ask: "play"; file: number; port: MessagePort }
  | { ask: "served"; name: ModelName }
  | { ask: "encode"; name: ModelName; options: EncodeOptions } // an encoding; then "push"
  | { ask: "push"; encoding: number; channels: Float32Array<ArrayBuffer>[]; last: boolean }
  | { ask: "stopEncoding"; encoding: number };

export type Envelope = { id: number } & Request;

export type Answer =
  | { id: number; result: unknown }
  | { id: number; error: PlainError }
  /** While weights are fetched. */
  | { progress: [loaded: number, total: number] };

export interface Opened {
  file: number;
  info: FileInfo;
}

/** Between worker and worklet. Every seek begins another run, with a number of its own. */
export type ToWorklet =
  | { run: number; channels: Float32Array<ArrayBuffer>[]; start: number }
  | { run: number; ended: true }
  | { run: number; error: PlainError };
export type FromWorklet =
  /** Samples of the file that were played or dropped since the last one. */
  { run: number; taken: number };

/** From the page to the worker, through the worklet's port: begin at a sample. */
export type Seek = { run: number; from: number };

/** From page to worklet. */
export type Control =
  | { port: MessagePort; rate: number }
  | { playing: boolean }
  | { run: number; from: number }
  | { close: true };
/** From worklet to page: `place` is the sample of the file that is output next. */
export type Report = {
  run: number;
  place: number;
  state: "paused" | "waiting" | "playing" | "ended";
  /** Whether there are samples to play. */
  ready: boolean;
  error?: PlainError;
};
