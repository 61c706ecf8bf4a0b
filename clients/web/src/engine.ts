import { EncodecError } from "./errors.js";
import { HOP, MODELS } from "./models.js";
import type { LanguageModelWeights, NetworkConfig } from "./weights.js";

interface Exports {
  memory: WebAssembly.Memory;
  _initialize(): void;
  web_allocate(bytes: number): number;
  web_free(place: number): void;
  web_network(
    encoder: number, description: number, weights: number, size: number, entries: number,
    entriesSize: number,
  ): number;
  web_network_free(network: number): void;
  web_state_size(network: number): number;
  web_decode(
    network: number, codes: number, books: number, frames: number, state: number, first: number,
    last: number, scale: number, samples: number,
  ): void;
  web_encode(
    network: number, samples: number, count: number, state: number, first: number, last: number,
    codes: number, books: number, frames: number,
  ): void;
  web_lm(
    numbers: number, numberCount: number, weights: number, weightCount: number, tables: number,
    tableCount: number,
  ): number;
  web_lm_run(
    lm: number, encode: number, codes: number, bytes: number, sizes: number, frames: number,
    count: number, books: number,
  ): number;
}

type Numbers =
  | Float32Array | Int32Array | Uint16Array | Uint8Array | Int8Array | BigInt64Array;

/** A module with one `f32x4.relaxed_madd`: whether this browser has relaxed SIMD. */
const RELAXED = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0, 65, 0, 253,
  17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 11,
]);

export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED);
}

/** Which of the two builds runs here. */
export function buildName(): string {
  return hasRelaxedSimd() ? "engine-relaxed.wasm" : "engine.wasm";
}

/** The C++ engine in WebAssembly. After an error of its own it can only be thrown away. */
export class Engine {
  private constructor(private readonly exports: Exports) {}

  static async load(module: WebAssembly.Module): Promise<Engine> {
    let exports: Exports | null = null;
    const fail = (place: number): never => {
      const bytes = new Uint8Array(exports!.memory.buffer, place);
      const reason = new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
      throw new EncodecError("engine_failed", reason);
    };
    // What the C library has for files; nothing here uses any.
    const none = () => 8; // EBADF
    const files = { fd_close: none, fd_seek: none, fd_write: none };
    const imports = { env: { fail }, wasi_snapshot_preview1: files };
    const instance = await WebAssembly.instantiate(module, imports);
    exports = instance.exports as unknown as Exports;
    exports._initialize();
    return new Engine(exports);
  }

  /** `weights` of encoder or decoder in the order of the layers; `entries` of the codebooks. */
  network(
    encoder: boolean, config: NetworkConfig, weights: Float32Array, entries: Float32Array,
  ): Network {
    const model = MODELS[config.name];
    const ratios = [...config.ratios, 0, 0, 0, 0, 0, 0, 0, 0].slice(0, 8);
    const description = Int32Array.from([
      +model.causal, model.channels, config.dimension, config.n_filters, config.lstm,
      model.codebooks.at(-1)!, config.bins, model.frameRate, config.ratios.length, ...ratios, 0,
    ]);
    return this.with([description, weights, entries], ([d, w, e]) => {
      const handle = this.exports.web_network(
        +encoder, d!, w!, weights.length, e!, entries.length,
      );
      return new Network(this.exports, this, handle, model.channels);
    });
  }

  languageModel({ numbers, weights, tables }: LanguageModelWeights): LanguageModel {
    return this.with([numbers, weights, tables], ([n, w, t]) => {
      const handle = this.exports.web_lm(
        n!, numbers.length, w!, weights.length, t!, tables.length,
      );
      return new LanguageModel(this.exports, this, handle);
    });
  }

  /** Calls `use` with copies of the arrays in the engine's memory, which are freed after it. */
  with<T>(arrays: Numbers[], use: (places: number[]) => T): T {
    const places = arrays.map((array) => this.exports.web_allocate(array.byteLength));
    arrays.forEach((array, i) => {
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      new Uint8Array(this.exports.memory.buffer).set(bytes, places[i]);
    });
    const result = use(places);
    for (const place of places) this.exports.web_free(place);
    return result;
  }

  /** Copies of what the engine has written. */
  floats(place: number, count: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.exports.memory.buffer, place, count).slice() as Float32Array<ArrayBuffer>;
  }
  shorts(place: number, count: number): Uint16Array<ArrayBuffer> {
    return new Uint16Array(this.exports.memory.buffer, place, count).slice() as Uint16Array<ArrayBuffer>;
  }
  bytes(place: number, count: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.exports.memory.buffer, place, count).slice() as Uint8Array<ArrayBuffer>;
  }
  ints(place: number, count: number): Int32Array<ArrayBuffer> {
    return new Int32Array(this.exports.memory.buffer, place, count).slice() as Int32Array<ArrayBuffer>;
  }
}

/** What a causal stream carries from block to block. */
export class StreamState {
  first = true;
  constructor(readonly place: number, private readonly release: (place: number) => void) {}
  free(): void {
    this.release(this.place);
  }
}

/** An encoder or decoder. */
export class Network {
  private readonly stateBytes: number;

  constructor(
    private readonly exports: Exports,
    private readonly engine: Engine,
    private readonly handle: number,
    private readonly channels: number,
  ) {
    this.stateBytes = 4 * exports.web_state_size(handle);
  }

  /** For a new stream of a causal model. Free it. */
  newState(): StreamState {
    const place = this.exports.web_allocate(Math.max(4, this.stateBytes));
    return new StreamState(place, this.exports.web_free);
  }

  /** Codes `[books, frames]` to samples, `frames * HOP` of each channel. */
  decode(
    codes: Uint16Array, books: number, state: StreamState | null, last: boolean, scale = 1,
  ): Float32Array<ArrayBuffer>[] {
    const frames = codes.length / books;
    const count = frames * HOP;
    const room = new Float32Array(this.channels * count);
    return this.engine.with([codes, room], ([from, to]) => {
      const first = state?.first ?? true;
      this.exports.web_decode(
        this.handle, from!, books, frames, state?.place ?? 0, +first, +last, scale, to!,
      );
      if (state) state.first = false;
      return this.split(to!, count);
    });
  }

  /** Samples of each channel to codes `[books, ceil(n / HOP)]`. */
  encode(
    samples: Float32Array[], books: number, state: StreamState | null, last: boolean,
  ): Uint16Array<ArrayBuffer> {
    const count = samples[0]!.length;
    const frames = Math.ceil(count / HOP);
    const planar = new Float32Array(this.channels * count);
    samples.forEach((channel, c) => {
      planar.set(channel, c * count);
    });
    return this.engine.with([planar, new Uint16Array(books * frames)], ([from, to]) => {
      const first = state?.first ?? true;
      this.exports.web_encode(
        this.handle, from!, count, state?.place ?? 0, +first, +last, to!, books, frames,
      );
      if (state) state.first = false;
      return this.engine.shorts(to!, books * frames);
    });
  }

  free(): void {
    this.exports.web_network_free(this.handle);
  }

  private split(place: number, count: number): Float32Array<ArrayBuffer>[] {
    return Array.from({ length: this.channels }, (_, c) =>
      this.engine.floats(place + 4 * c * count, count),
    );
  }
}

/** The exact language model. */
export class LanguageModel {
  constructor(
    private readonly exports: Exports,
    private readonly engine: Engine,
    private readonly handle: number,
  ) {}

  /** Chunks of bytes, of so many frames each, to codes `[books, frames]`; null for damaged ones. */
  decode(chunks: { data: Uint8Array; frames: number }[], books: number): Uint16Array[] | null {
    const frames = Int32Array.from(chunks, (chunk) => chunk.frames);
    const sizes = Int32Array.from(chunks, (chunk) => chunk.data.length);
    const bytes = new Uint8Array(sizes.reduce((a, b) => a + b, 0));
    let at = 0;
    for (const { data } of chunks) {
      bytes.set(data, at);
      at += data.length;
    }
    const codes = new Uint16Array(books * frames.reduce((a, b) => a + b, 0));
    return this.engine.with([codes, bytes, sizes, frames], ([c, b, s, f]) => {
      if (!this.exports.web_lm_run(this.handle, 0, c!, b!, s!, f!, chunks.length, books)) return null;
      let place = c!;
      return chunks.map((chunk) => {
        const count = books * chunk.frames;
        const part = this.engine.shorts(place, count);
        place += 2 * count;
        return part;
      });
    });
  }

  /** The bytes of a chunk of codes `[books, frames]`. */
  encode(codes: Uint16Array, books: number): Uint8Array {
    const room = new Uint8Array(4 * codes.length + 16);
    const sizes = Int32Array.of(room.length);
    const frames = Int32Array.of(codes.length / books);
    return this.engine.with([codes, room, sizes, frames], ([c, b, s, f]) => {
      this.exports.web_lm_run(this.handle, 1, c!, b!, s!, f!, 1, books);
      return this.engine.bytes(b!, this.engine.ints(s!, 1)[0]!);
    });
  }
}
