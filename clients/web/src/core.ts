/** What the worker does, without a worker: for Node, and for workers of one's own. */
import { Bytes } from "./container/bytes.js";
import { type Header, readHeader } from "./container/header.js";
import { decoded, type Part } from "./decoding.js";
import { Encoding } from "./encoding.js";
import { Engine, type LanguageModel, type Network } from "./engine.js";
import { EncodecError } from "./errors.js";
import { codecId, type Model, MODELS } from "./models.js";
import { openSource, type Source, useLanguageModel } from "./source.js";
import type { AudioBlock, EncodeOptions, FileInfo, ModelName, ServiceOptions } from "./types.js";
import { WeightStore } from "./weights.js";

export { ChunkFile } from "./container/chunks.js";
export { toSamples } from "./decoding.js";
export { buildName } from "./engine.js";
export { Bytes, Encoding, EncodecError, Engine, openSource, readHeader };

/** The service's name of a model's weights, and of those with their language model. */
export interface Served {
  model: string;
  languageModel: string | null;
}

/** Networks and language models by id; each is loaded once. */
export class Core {
  private readonly store: WeightStore;
  private readonly loaded = new Map<string, Promise<unknown>>();

  /** `module`: gives the compiled engine, `engine.wasm` or `engine-relaxed.wasm`. */
  constructor(
    private readonly options: ServiceOptions & { service: string },
    private readonly module: () => Promise<WebAssembly.Module>,
  ) {
    this.store = new WeightStore(options);
  }

  network(id: string, part: "encoder" | "decoder"): Promise<Network> {
    return this.once(`${part} ${id}`, async () => {
      const [engine, [config, weights], codebooks] = await Promise.all([
        this.engine(),
        this.store.network(id, part),
        this.once(`codebooks ${id}`, () => this.store.codebooks(id)),
      ]);
      return engine.network(part === "encoder", config, weights, codebooks);
    });
  }

  languageModel(id: string): Promise<LanguageModel> {
    return this.once(`lm ${id}`, async () => {
      const [engine, weights] = await Promise.all([this.engine(), this.store.languageModel(id)]);
      return engine.languageModel(weights);
    });
  }

  /** What the service calls the weights that it compresses with. */
  async served(name: ModelName): Promise<Served> {
    const response = await this.store.get(`${this.options.service}/models`);
    const { models } = (await response.json()) as {
      models: { name: string; weights: Named | null; language_model: Named | null }[];
    };
    const found = models.find((model) => model.name === name);
    if (!found?.weights)
      throw new EncodecError("weights_unavailable", `the service has no weights of ${name} yet`);
    return { model: found.weights.name, languageModel: found.language_model?.name ?? null };
  }

  /** A file that is all here (`whole`), or one that arrives. */
  async open(bytes: Bytes, whole: boolean): Promise<OpenFile> {
    const header = await readHeader(bytes);
    const source = openSource(bytes, header, whole);
    const [network, lm] = await Promise.all([
      this.network(codecId(header.id), "decoder"),
      header.lm ? this.languageModel(header.id) : null,
    ]);
    if (lm) useLanguageModel(source, lm);
    return new OpenFile(source, network);
  }

  async encoding(name: ModelName, options: EncodeOptions): Promise<Encoding> {
    if (!Object.hasOwn(MODELS, name))
      throw new EncodecError("invalid_argument", `there is no model ${name}`);
    const served = await this.served(name);
    if (options.lm && !served.languageModel)
      throw new EncodecError("weights_unavailable", `there is no language model for ${name}`);
    const [network, lm] = await Promise.all([
      this.network(served.model, "encoder"),
      options.lm ? this.languageModel(served.languageModel!) : null,
    ]);
    return new Encoding(
      network, MODELS[name], lm ? served.languageModel! : served.model, lm, options,
    );
  }

  private engine(): Promise<Engine> {
    return this.once("engine", async () => Engine.load(await this.module()));
  }

  /** What failed is tried again the next time. */
  private once<T>(key: string, make: () => Promise<T>): Promise<T> {
    let made = this.loaded.get(key) as Promise<T> | undefined;
    if (!made) {
      made = make();
      this.loaded.set(key, made);
      made.catch(() => this.loaded.delete(key));
    }
    return made;
  }
}

interface Named {
  name: string;
}

/** A file with the network that decodes it. */
export class OpenFile {
  readonly info: FileInfo;

  constructor(
    private readonly source: Source,
    private readonly network: Network,
  ) {
    this.info = infoOf(source.header, source.header.model, source.samples);
  }

  /** `part` in samples. */
  audio(part: Part): AsyncGenerator<AudioBlock> {
    const samples = this.source.samples;
    const end = part.end === null ? samples : Math.min(part.end, samples ?? Infinity);
    if (!(part.start >= 0) || (end !== null && !(end > part.start)))
      throw new EncodecError("invalid_argument", "there is no such part of the file");
    return decoded(this.network, this.source, { ...part, end });
  }
}

function infoOf(header: Header, model: Model, samples: number | null): FileInfo {
  return {
    version: header.version,
    model: header.id,
    name: model.name,
    sampleRate: model.sampleRate,
    channels: model.channels,
    samples,
    duration: samples === null ? null : samples / model.sampleRate,
    codebooks: header.codebooks,
    bandwidth: model.bandwidths[model.codebooks.indexOf(header.codebooks)]!,
    lm: header.lm !== 0,
    originalRate: header.rate,
    originalChannels: header.channels,
    originalName: header.name,
    gain: header.gain,
    tags: header.tags,
  };
}
