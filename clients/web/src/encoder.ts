import { Client } from "./client.js";
import type { Served } from "./core.js";
import { EncodecError, throwIfAborted } from "./errors.js";
import { type Model, MODELS } from "./models.js";
import type { EncodeOptions, ModelName, ServiceOptions } from "./types.js";

/** Encodes with one model. */
export class EncodecEncoder {
  private constructor(
    private readonly client: Client,
    private readonly facts: Model,
    private readonly served: Served,
  ) {}

  /** Fetches the weights that the service has for the model. */
  static async create(model: ModelName, options: ServiceOptions = {}): Promise<EncodecEncoder> {
    if (!Object.hasOwn(MODELS, model))
      throw new EncodecError("invalid_argument", `there is no model ${model}`);
    const client = await Client.start(options);
    try {
      const served = await client.ask<Served>({ ask: "served", name: model });
      return new EncodecEncoder(client, MODELS[model], served);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get sampleRate(): number {
    return this.facts.sampleRate;
  }
  get channels(): number {
    return this.facts.channels;
  }
  /** kbps. */
  get bandwidths(): number[] {
    return [...this.facts.bandwidths];
  }
  /** As headers call it. */
  get model(): string {
    return this.served.model;
  }
  get hasLanguageModel(): boolean {
    return this.served.languageModel !== null;
  }

  /** Samples at the model's rate and channels to a file. */
  async encode(
    channels: Float32Array[],
    options: EncodeOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const stream = await this.stream(options);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const step = 4 * this.sampleRate; // between two, progress is told and abortion seen
    try {
      for (let at = 0; at < (channels[0]?.length ?? 0); at += step) {
        throwIfAborted(options.signal);
        parts.push(await stream.push(channels.map((channel) => channel.subarray(at, at + step))));
        options.onProgress?.(Math.min(at + step, channels[0]!.length) / this.sampleRate);
      }
      throwIfAborted(options.signal);
      parts.push(await stream.finish());
    } catch (error) {
      stream.close();
      throw error;
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  /** Piece by piece: version 1 gives bytes as they are ready, version 0 all of them at the end. */
  async stream(options: EncodeOptions = {}): Promise<EncodeStream> {
    const { signal: _signal, onProgress: _onProgress, ...plain } = options;
    const { name } = this.facts;
    const number = await this.client.ask<number>({ ask: "encode", name, options: plain });
    return new EncodeStream(this.client, number, this.channels);
  }

  close(): void {
    this.client.close();
  }
}

/** A file that is being written. */
export class EncodeStream {
  /** @internal */
  constructor(
    private readonly client: Client,
    private readonly number: number,
    private readonly channels: number,
  ) {}

  /** Samples of each channel; the bytes that are ready. */
  push(channels: Float32Array[]): Promise<Uint8Array<ArrayBuffer>> {
    return this.send(channels.map((channel) => channel.slice()), false);
  }

  /** The last bytes. */
  finish(): Promise<Uint8Array<ArrayBuffer>> {
    return this.send(Array.from({ length: this.channels }, () => new Float32Array(0)), true);
  }

  close(): void {
    void this.client.ask({ ask: "stopEncoding", encoding: this.number }).catch(() => {});
  }

  private send(
    channels: Float32Array<ArrayBuffer>[],
    last: boolean,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const transfer = channels.map((channel) => channel.buffer);
    return this.client.ask({ ask: "push", encoding: this.number, channels, last }, transfer);
  }
}

/** Any audio that the browser reads, at the model's rate and channels, by its own resampler. */
export async function decodeRecording(
  recording: Blob | ArrayBuffer,
  model: ModelName,
): Promise<{ channels: Float32Array<ArrayBuffer>[]; originalName?: string }> {
  const { sampleRate, channels } = MODELS[model];
  const data = recording instanceof Blob ? await recording.arrayBuffer() : recording.slice(0);
  const audio = await new OfflineAudioContext(channels, 1, sampleRate)
    .decodeAudioData(data)
    .catch(() => {
      throw new EncodecError("invalid_argument", "the browser cannot decode this recording");
    });
  const from = Array.from({ length: audio.numberOfChannels }, (_, c) => audio.getChannelData(c));
  const originalName = recording instanceof File ? recording.name : undefined;
  if (channels === 2) return { channels: [from[0]!, from[1] ?? from[0]!], originalName };
  const mono = new Float32Array(audio.length).map(
    (_, i) => from.reduce((sum, channel) => sum + channel[i]!, 0) / from.length,
  );
  return { channels: [mono], originalName };
}
