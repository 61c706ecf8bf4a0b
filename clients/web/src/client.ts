import { toSamples } from "./decoding.js";
import { buildName } from "./engine.js";
import { EncodecError, type PlainError, throwIfAborted } from "./errors.js";
import type { Answer, Envelope, Opened, Request } from "./messages.js";
import type { Served } from "./core.js";
import type { AudioBlock, FileInfo, PartOptions, ServiceOptions } from "./types.js";

/** The worker, as functions. */
export class Client {
  private readonly waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: EncodecError) => void }
  >();
  private number = 0;
  private ended = false;

  private constructor(private readonly worker: Worker, readonly assets: URL) {}

  static async start(options: ServiceOptions): Promise<Client> {
    if (typeof WebAssembly !== "object" || typeof Worker !== "function")
      throw new EncodecError("unsupported_browser", "this browser has no WebAssembly or workers");
    const assets = assetsOf(options.assets);
    const service = new URL(options.service ?? "/", globalThis.location?.href).href;
    const worker = new Worker(await sameOrigin(new URL("worker.js", assets)), { type: "module" });
    const client = new Client(worker, assets);
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      if ("progress" in data) options.onProgress?.(...data.progress);
      else client.settle(data.id, data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      client.fail(new EncodecError("engine_failed", event.message || "the worker does not start"));
    };
    await client.ask({
      ask: "start",
      service: service.replace(/\/$/, ""),
      headers: options.headers ?? {},
      wasm: new URL(buildName(), assets).href,
      cache: options.cache ?? true,
    });
    return client;
  }

  ask<T = void>(request: Request, transfer: Transferable[] = []): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.ended) return reject(new EncodecError("aborted", "it was closed"));
      const id = ++this.number;
      this.waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.worker.postMessage({ id, ...request } satisfies Envelope, transfer);
    });
  }

  close(): void {
    this.worker.terminate();
    this.fail(new EncodecError("aborted", "it was closed"));
  }

  private settle(id: number, answer: { result: unknown } | { error: PlainError }): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if ("error" in answer) waiting?.reject(EncodecError.fromPlain(answer.error));
    else waiting?.resolve(answer.result);
  }

  private fail(error: EncodecError): void {
    this.ended = true;
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

/** The folder of the package's files. */
export function assetsOf(assets?: string | URL): URL {
  const folder = new URL(assets ?? ".", assets ? globalThis.location?.href : import.meta.url);
  if (!folder.pathname.endsWith("/")) folder.pathname += "/";
  return folder;
}

/** Workers are of the page's own origin; one from elsewhere is imported by a script that is. */
async function sameOrigin(url: URL): Promise<URL | string> {
  if (url.origin === globalThis.location?.origin) return url;
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  return URL.createObjectURL(script);
}

async function* read(
  client: Client,
  file: number,
  start: number,
  end: number | null,
  signal?: AbortSignal,
): AsyncGenerator<AudioBlock, void, undefined> {
  throwIfAborted(signal);
  const reading = await client.ask<number>({ ask: "audio", file, start, end });
  try {
    for (;;) {
      throwIfAborted(signal);
      const block = await client.ask<AudioBlock | null>({ ask: "next", reading });
      if (!block) return;
      throwIfAborted(signal);
      yield block;
    }
  } finally {
    void client.ask({ ask: "stop", reading }).catch(() => {});
  }
}

/** An open file. */
export class EncodecFile {
  /** @internal */
  constructor(
    /** @internal */ readonly client: Client,
    /** @internal */ readonly number: number,
    readonly info: FileInfo & { samples: number; duration: number },
  ) {}

  /** The part, block by block; stop iterating to stop decoding. */
  audio(part: PartOptions = {}): AsyncGenerator<AudioBlock, void, undefined> {
    const [start, end] = this.range(part);
    return read(this.client, this.number, start, end, part.signal);
  }

  /** The whole part at once. */
  async decode(part: PartOptions = {}): Promise<Float32Array<ArrayBuffer>[]> {
    const [start, end] = this.range(part);
    const { channels } = this.info;
    const whole = Array.from({ length: channels }, () => new Float32Array(end - start));
    for await (const block of this.audio(part))
      block.channels.forEach((channel, c) => {
        whole[c]!.set(channel, block.start - start);
      });
    return whole;
  }

  close(): void {
    void this.client.ask({ ask: "close", file: this.number }).catch(() => {});
  }

  private range({ start = 0, end }: PartOptions): [number, number] {
    const { samples, sampleRate } = this.info;
    const first = toSamples(start, sampleRate);
    const last = end === undefined ? samples : Math.min(samples, toSamples(end, sampleRate));
    if (!(first >= 0 && first < last))
      throw new EncodecError("invalid_argument", "there is no such part of the file");
    return [first, last];
  }
}

/** A file whose bytes are still arriving: forwards only, once. */
export class EncodecStream {
  /** @internal */
  constructor(
    private readonly client: Client,
    private readonly file: number,
    readonly info: FileInfo,
  ) {}

  audio(options: { signal?: AbortSignal } = {}): AsyncGenerator<AudioBlock, void, undefined> {
    return read(this.client, this.file, 0, null, options.signal);
  }

  close(): void {
    void this.client.ask({ ask: "close", file: this.file }).catch(() => {});
  }
}

/** Decodes files; one worker, which holds the weights of the models it has met. */
export class EncodecDecoder {
  private constructor(private readonly client: Client) {}

  /** Starts the worker. Weights are fetched when a file needs them; see `load`. */
  static async create(options: ServiceOptions = {}): Promise<EncodecDecoder> {
    return new EncodecDecoder(await Client.start(options));
  }

  /** Fetch a model's weights ahead; `model` as in headers or `GET /models` (`weights.name`). */
  load(model: string): Promise<void> {
    return this.client.ask({ ask: "load", model });
  }

  /** Open a whole file. Checks header and index, and fetches the weights if they are not here. */
  async open(file: Blob | ArrayBuffer | Uint8Array): Promise<EncodecFile> {
    const whole = file instanceof Blob ? file : new Blob([file as BlobPart]);
    const data = await whole.arrayBuffer();
    const opened = await this.client.ask<Opened>({ ask: "open", data }, [data]);
    return new EncodecFile(this.client, opened.file, opened.info as EncodecFile["info"]);
  }

  /** Decode bytes as they arrive; resolves when the header is there and the weights are. */
  async stream(bytes: ReadableStream<Uint8Array>): Promise<EncodecStream> {
    const file = await this.client.ask<number>({ ask: "stream" });
    void this.feed(file, bytes);
    const { info } = await this.client.ask<Opened>({ ask: "header", file });
    return new EncodecStream(this.client, file, info);
  }

  /** Ends the worker. */
  close(): void {
    this.client.close();
  }

  private async feed(file: number, bytes: ReadableStream<Uint8Array>): Promise<void> {
    const reader = bytes.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const data = value.slice();
        await this.client.ask({ ask: "bytes", file, data }, [data.buffer]);
      }
      await this.client.ask({ ask: "bytes", file, data: null });
    } catch (error) {
      void reader.cancel().catch(() => {});
      const plain = { code: "service_error", message: `the stream broke off: ${error}` } as const;
      const request = { ask: "bytes", file, data: null, error: plain } as const;
      await this.client.ask(request).catch(() => {});
    }
  }
}

/** What an encoder asks at first. */
export type { Served };
