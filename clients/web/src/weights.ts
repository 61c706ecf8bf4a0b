import { EncodecError } from "./errors.js";
import { MODELS } from "./models.js";
import type { ModelName, ServiceOptions } from "./types.js";

/** Parts of a model that the service sends one by one. */
export type Part = "encoder" | "decoder" | "codebooks" | "lm";

/** The network's shape, as the service's checkpoint says it. */
export interface NetworkConfig {
  name: ModelName;
  n_filters: number;
  n_residual_layers: number;
  dimension: number;
  lstm: number;
  bins: number;
  ratios: number[];
}

/** The quantised language model, in the order in which the engine takes it. */
export interface LanguageModelWeights {
  numbers: BigInt64Array;
  weights: Int8Array;
  tables: Int32Array;
}

const CACHE = "encodec-weights-1";
const MOST_BYTES = 2 ** 29;
const MOST_HEADER = 2 ** 20;

/** Fetches weights from the service; what was fetched once comes from Cache Storage. */
export class WeightStore {
  constructor(private readonly options: ServiceOptions & { service: string }) {}

  /** Encoder or decoder: its configuration and its float32 numbers, weight norm folded. */
  async network(id: string, part: "encoder" | "decoder"): Promise<[NetworkConfig, Float32Array]> {
    const file = new SafeTensors(await this.part(id, part));
    return [checkedConfig(file.metadata.config, id), file.floats()];
  }

  async codebooks(id: string): Promise<Float32Array> {
    return new SafeTensors(await this.part(id, "codebooks")).floats();
  }

  async languageModel(id: string): Promise<LanguageModelWeights> {
    const file = new SafeTensors(await this.part(id, "lm"));
    return {
      numbers: new BigInt64Array(file.tensor("numbers", "I64")),
      weights: new Int8Array(file.tensor("weights", "I8")),
      tables: new Int32Array(file.tensor("tables", "I32")),
    };
  }

  private async part(id: string, part: Part): Promise<ArrayBuffer> {
    const url = `${this.options.service}/models/${encodeURIComponent(id)}/weights?part=${part}`;
    const cache = this.options.cache === false ? null : await openCache();
    const kept = await cache?.match(url).catch(() => undefined);
    if (kept) return kept.arrayBuffer();
    const response = await this.get(url);
    const data = await this.read(response);
    // A cache that is full or forbidden is none.
    await cache?.put(url, new Response(data, { headers: response.headers })).catch(() => {});
    return data;
  }

  /** Answers that are not 2xx are errors. */
  async get(url: string): Promise<Response> {
    // Once more: a connection that was kept open may have ended meanwhile.
    const ask = () => fetch(url, { headers: this.options.headers ?? {} });
    const response = await ask().catch(ask).catch((error: unknown) => {
      throw new EncodecError("service_error", `the service cannot be reached: ${error}`);
    });
    if (response.ok) return response;
    const problem = (await response.json().catch(() => undefined)) as
      | Record<string, unknown>
      | undefined;
    const gone = response.status === 404 || response.status === 409;
    const detail = problem?.detail ?? `the service answers ${response.status}`;
    throw new EncodecError(gone ? "weights_unavailable" : "service_error", `${detail}`, problem);
  }

  private async read(response: Response): Promise<ArrayBuffer> {
    const total = Number(response.headers.get("content-length") ?? 0);
    if (total > MOST_BYTES) throw new EncodecError("invalid_weights", "the weights are too large");
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    try {
      for await (const part of chunksOf(response.body!)) {
        loaded += part.length;
        if (loaded > MOST_BYTES)
          throw new EncodecError("invalid_weights", "the weights are too large");
        parts.push(part);
        this.options.onProgress?.(loaded, total);
      }
    } catch (error) {
      if (error instanceof EncodecError) throw error;
      throw new EncodecError("service_error", `the weights broke off: ${error}`);
    }
    return new Blob(parts).arrayBuffer();
  }
}

/** Safari's streams cannot be iterated. */
async function* chunksOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

async function openCache(): Promise<Cache | null> {
  if (typeof caches === "undefined") return null; // not in Node, nor without TLS
  return caches.open(CACHE).catch(() => null);
}

interface Tensor {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

/** A safetensors file, whose tensors stand in the order in which the engine takes them. */
class SafeTensors {
  readonly metadata: Record<string, string>;
  private readonly tensors: Tensor[] = [];
  private readonly begin: number;

  constructor(private readonly data: ArrayBuffer) {
    if (data.byteLength < 8) throw badWeights("they are no safetensors file");
    const size = Number(new DataView(data).getBigUint64(0, true));
    this.begin = 8 + size;
    if (size > MOST_HEADER || this.begin > data.byteLength)
      throw badWeights("they are no safetensors file");
    let header: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>;
    try {
      header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 8, size)));
    } catch {
      throw badWeights("their header is not readable");
    }
    const { __metadata__: metadata = {}, ...tensors } = header;
    this.metadata = metadata as unknown as Record<string, string>;
    const room = data.byteLength - this.begin;
    for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(tensors)) {
      const [begin, end] = offsets as [number, number];
      if (!(begin >= 0 && begin <= end && end <= room)) throw badWeights("they are cut off");
      this.tensors.push({ name, dtype, shape, begin, end });
    }
    this.tensors.sort((a, b) => a.begin - b.begin);
  }

  /** A copy of a tensor's bytes. */
  tensor(name: string, dtype: string): ArrayBuffer {
    const found = this.tensors.find((tensor) => tensor.name === name && tensor.dtype === dtype);
    if (!found) throw badWeights(`they have no ${name} of ${dtype}`);
    return this.data.slice(this.begin + found.begin, this.begin + found.end);
  }

  /** All of them one after another; of weight norm's two, `v * (g / |v|)`. */
  floats(): Float32Array {
    const parts: Float32Array[] = [];
    let lengths: Float32Array | null = null;
    for (const { name, dtype, shape, begin, end } of this.tensors) {
      if (dtype !== "F16") throw badWeights(`${name} is ${dtype}`);
      const values = fromHalves(this.data.slice(this.begin + begin, this.begin + end));
      if (name.endsWith(".weight_g")) lengths = values;
      else if (name.endsWith(".weight_v") && lengths?.length === shape[0]) {
        parts.push(withLengths(values, lengths!));
        lengths = null;
      } else parts.push(values);
    }
    const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}

function withLengths(rows: Float32Array, lengths: Float32Array): Float32Array {
  const width = rows.length / lengths.length;
  lengths.forEach((length, i) => {
    const row = rows.subarray(i * width, (i + 1) * width);
    let squares = 0;
    for (const x of row) squares += x * x;
    const factor = Math.fround(length / Math.fround(Math.sqrt(squares)));
    for (let k = 0; k < width; k++) row[k]! *= factor;
  });
  return rows;
}

let halves: Float32Array | null = null;

function fromHalves(data: ArrayBuffer): Float32Array {
  halves ??= new Float32Array(65536).map((_, half) => {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
    return (half & 0x8000 ? -1 : 1) * (exponent === 31 ? Infinity : size);
  });
  const floats = new Float32Array(data.byteLength / 2);
  new Uint16Array(data).forEach((half, i) => {
    floats[i] = halves![half]!;
  });
  if (!floats.every(Number.isFinite)) throw badWeights("a number of them is not finite");
  return floats;
}

function checkedConfig(json: string | undefined, id: string): NetworkConfig {
  let config: Partial<NetworkConfig>;
  try {
    config = JSON.parse(json ?? "") as Partial<NetworkConfig>;
  } catch {
    throw badWeights("their configuration is not readable");
  }
  const { name, n_filters = 0, lstm = -1, dimension = 0, ratios } = config;
  const within = (value: unknown, least: number, most: number): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
  const known = name && Object.hasOwn(MODELS, name) && id.split(":", 1)[0] === name;
  const possible = within(n_filters, 2, 256) && within(lstm, 0, 8) && within(dimension, 1, 1024);
  const supported = n_filters % 2 === 0 && config.n_residual_layers === 1;
  if (!known || !possible || !supported || config.bins !== 1024 || `${ratios}` !== "8,5,4,2")
    throw badWeights(`this is no network for ${id} that is known here`);
  return config as NetworkConfig;
}

function badWeights(reason: string): EncodecError {
  return new EncodecError("invalid_weights", `the weights cannot be used: ${reason}`);
}
