/** The client. */
import { Answer, connectionFailed, type Progress } from './answer.js';
import { NoJobsError, problemOf } from './errors.js';
import { keyBytes } from './keys.js';
import { DEFAULT_RETRIES, sleep, waitAfter, type Retries } from './retries.js';
import type { components, operations } from './schema.js';

type Query<Name extends keyof operations> = NonNullable<operations[Name]['parameters']['query']>;

/** What is sent. A stream is sent as it comes, once; browsers do that over HTTP/2 only. */
export type Source = Blob | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array>;

export type Codes = components['schemas']['Codes'];
export type Inspection = components['schemas']['Inspection'];
export type Job = components['schemas']['JobDocument'];
export type ModelInfo = components['schemas']['ModelInfo'];

/** Of every call. */
export interface CallOptions {
  signal?: AbortSignal;
  /** Called with the bytes that were received. */
  progress?: Progress;
}

/** Of calls that take audio. */
export interface AudioOptions extends CallOptions {
  /** `audio/L16; rate=16000; channels=1` says what samples without a header are. */
  contentType?: string;
}

export interface ClientOptions {
  apiKey?: string;
  retries?: Partial<Retries>;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/**
 * Calls a service. Parameters that are not given are left to it.
 *
 * Every call fails with `ProblemError` for an error that the service answers with,
 * `ConnectionFailedError` where it cannot be reached or breaks off, and an `AbortError` where its
 * signal is aborted. Until its answer begins, a call whose source is not a stream is tried again
 * as `Retries` says.
 */
export class EncodecClient {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #retries: Retries;
  readonly #fetch: typeof fetch;

  /** `baseUrl` may be empty in a page that the service itself serves. Fails with a `TypeError` for what is no URL. */
  constructor(baseUrl = 'http://127.0.0.1:8000', options: ClientOptions = {}) {
    new URL(baseUrl, globalThis.location?.href);
    this.#url = baseUrl.replace(/\/+$/, '');
    this.#headers = options.apiKey ? { Authorization: `Bearer ${keyBytes(options.apiKey)}` } : {};
    this.#retries = { ...DEFAULT_RETRIES, ...options.retries };
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  /** Audio in any format that FFmpeg reads to an `.ecdc` file. */
  compress(audio: Source, options: Query<'compress'> & AudioOptions = {}): Promise<Answer> {
    return this.#call('/compress', audio, options);
  }

  /** An `.ecdc` file, or a part of it, to audio: by default a WAV. It comes while it is decoded. */
  decompress(ecdc: Source, options: Query<'decompress'> & CallOptions = {}): Promise<Answer> {
    return this.#call('/decompress', ecdc, options);
  }

  /** What `decompress` makes of what `compress` makes. */
  roundtrip(audio: Source, options: Query<'roundtrip'> & AudioOptions = {}): Promise<Answer> {
    return this.#call('/roundtrip', audio, options);
  }

  /** An `.ecdc` file at a lower bandwidth, in another version or another entropy coding. */
  transcode(ecdc: Source, options: Query<'transcode'> & CallOptions = {}): Promise<Answer> {
    return this.#call('/transcode', ecdc, options);
  }

  /** The discrete codes of audio. */
  codes(audio: Source, options: Query<'codes'> & AudioOptions = {}): Promise<Codes> {
    return this.#json('/codes', audio, options);
  }

  /** The same as a file for `numpy.load`. */
  codesNpz(audio: Source, options: Query<'codes'> & AudioOptions = {}): Promise<Answer> {
    return this.#call('/codes', audio, options, { headers: { Accept: 'application/x-npz' } });
  }

  /** What an `.ecdc` file says, and whether it is all there. */
  inspect(ecdc: Source, options: CallOptions = {}): Promise<Inspection> {
    return this.#json('/inspect', ecdc, options);
  }

  /** The service's models. */
  async models(options: CallOptions = {}): Promise<ModelInfo[]> {
    const list: components['schemas']['ModelList'] = await this.#json('/models', null, options);
    return list.models;
  }

  /**
   * Have a call done as a job, which goes on without this client; with `source: null`, its input is
   * at the URL `options.source`. Fails with `NoJobsError` where the service keeps none.
   */
  async submit<Name extends 'compress' | 'decompress' | 'roundtrip'>(
    call: Name,
    source: Source | null,
    options: Query<Name> & AudioOptions = {} as Query<Name> & AudioOptions,
  ): Promise<Job> {
    const headers = { Prefer: 'respond-async', 'Idempotency-Key': randomKey() };
    const answer = await this.#call(`/${call}`, source ?? new Uint8Array(), options, { headers });
    if (!answer.headers.has('preference-applied')) {
      await answer.cancel();
      throw new NoJobsError('the service keeps no jobs');
    }
    return JSON.parse(new TextDecoder().decode(await answer.bytes())) as Job;
  }

  /** What has become of a job. */
  job(id: string, options: CallOptions = {}): Promise<Job> {
    return this.#json(pathOf(id), null, options);
  }

  /** A job, once it is done, failed or cancelled; asks `every` so many seconds. */
  async wait(id: string, options: CallOptions & { every?: number } = {}): Promise<Job> {
    const { every = 2, ...rest } = options;
    for (;;) {
      const job = await this.job(id, rest);
      if (job.state !== 'queued' && job.state !== 'running') return job;
      await sleep(every, rest.signal);
    }
  }

  /** What a job has made; fails with the `ProblemError` with which it failed. */
  result(id: string, options: CallOptions = {}): Promise<Answer> {
    return this.#call(`${pathOf(id)}/result`, null, options);
  }

  /** Cancel a job, or forget it where it has ended. */
  async deleteJob(id: string, options: CallOptions = {}): Promise<void> {
    await this.#call(pathOf(id), null, options, { method: 'DELETE' });
  }

  /** Whether the service takes calls; false too where it cannot be reached. */
  async ready(): Promise<boolean> {
    try {
      return (await this.#fetch(`${this.#url}/health/ready`)).ok;
    } catch {
      return false;
    }
  }

  async #json<T>(path: string, source: Source | null, options: AudioOptions): Promise<T> {
    const answer = await this.#call(path, source, options);
    return JSON.parse(new TextDecoder().decode(await answer.bytes())) as T;
  }

  async #call(
    path: string,
    source: Source | null,
    options: AudioOptions,
    own: { headers?: Record<string, string>; method?: string } = {},
  ): Promise<Answer> {
    if (source === undefined) throw new TypeError('there is nothing to send');
    const { signal = null, progress, contentType, ...parameters } = options;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined && value !== null) query.set(name, String(value));
    }
    const url = `${this.#url}${path}${query.size ? `?${query}` : ''}`;
    const headers: Record<string, string> = { ...this.#headers, Accept: '*/*', ...own.headers };
    if (source) headers['Content-Type'] = contentType ?? 'application/octet-stream';
    const streams = source instanceof ReadableStream;
    const once = streams || own.method === 'DELETE'; // which twice is another thing
    const init: RequestInit = { method: own.method ?? (source ? 'POST' : 'GET'), headers, signal, body: source as BodyInit | null };
    if (streams) Object.assign(init, { duplex: 'half' });
    for (let tried = 1; ; tried++) {
      try {
        return new Answer(await this.#begun(url, init), progress);
      } catch (error) {
        const wait = once ? null : waitAfter(error, tried, this.#retries);
        if (wait === null) throw error;
        await sleep(wait, signal);
      }
    }
  }

  async #begun(url: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetch(url, init);
    } catch (error) {
      throw connectionFailed(error);
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

const pathOf = (jobId: string): string => `/jobs/${encodeURIComponent(jobId)}`;

/** A name for a request that may be sent again. (`randomUUID` is not there in pages over HTTP.) */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
