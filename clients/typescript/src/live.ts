/** Live audio over WebSocket; the service's docs/live.md has the protocol, and what the options mean. */
import { ConnectionFailedError, EncodecClientError, ProblemError, type ProblemDocument } from './errors.js';
import { keyProtocol } from './keys.js';

/** What the service says of a stream: `ready`, `header`, `start`, `progress`, `end`, and its fields. */
export interface LiveMessage {
  type: string;
  [field: string]: unknown;
}

/** Bytes in pieces: an array of them, a `ReadableStream`, or what a microphone gives. */
export type LiveSource = Iterable<ArrayBuffer | ArrayBufferView> | AsyncIterable<ArrayBuffer | ArrayBufferView>;

export interface LiveCallOptions {
  signal?: AbortSignal;
  /** Called with what the service says. */
  told?: (message: LiveMessage) => void;
}

interface PcmInput {
  /** Hz, of PCM; the model's (24000) by default. */
  sample_rate?: number;
  /** Of PCM: 1 (default) or 2. */
  channels?: number;
  /** kbps; 6 by default. */
  bandwidth?: number;
  /** Frames of 13.3 ms that are sent at once; 4 by default. */
  chunk?: number;
  /** Entropy-code with the language model; use a `chunk` of 75 or more. */
  lm?: boolean;
}

/** `s16` (default) and `f32`: interleaved little-endian PCM; `container`: a file as it grows. */
export interface LiveCompressOptions extends LiveCallOptions, PcmInput {
  input?: 'container' | 'f32' | 's16';
}

/** `ecdc`: a version 1 stream, passed on as it is. */
export interface SpeakOptions extends LiveCallOptions, PcmInput {
  input?: 'container' | 'ecdc' | 'f32' | 's16';
}

export interface LiveDecompressOptions extends LiveCallOptions {
  /** `f32` by default. */
  output?: 'f32' | 's16';
  /** Hz; the model's by default. */
  sample_rate?: number;
  channels?: number;
}

export interface ListenOptions extends LiveCallOptions {
  /** `ecdc` (default): the version 1 stream. */
  output?: 'ecdc' | 'f32' | 's16';
  sample_rate?: number;
  channels?: number;
  /** Frames before the newest that a late listener gets. */
  preroll?: number;
}

const PROTOCOL = 'encodec.live.v1';
const MOST_SENT = 1 << 18; // bytes of a message
const MOST_BUFFERED = 1 << 20; // bytes that wait to be sent
const LOOK_AGAIN = 20; // ms

/**
 * Streams of audio, while it is recorded. It needs the global `WebSocket`: browsers and Node 22 have
 * it, Node 20 does not unless started with `--experimental-websocket`.
 *
 * Each call is one connection, made when its iteration begins and left when that ends. It fails with
 * `ProblemError`, `ConnectionFailedError`, what its source throws, or its signal's reason; nothing
 * is tried again.
 */
export class LiveClient {
  readonly #url: string;
  readonly #protocols: string[];

  /** `baseUrl` is absolute. */
  constructor(baseUrl = 'http://127.0.0.1:8000', options: { apiKey?: string } = {}) {
    this.#url = baseUrl.replace(/\/+$/, '').replace(/^http/, 'ws');
    this.#protocols = [PROTOCOL, ...(options.apiKey ? [keyProtocol(options.apiKey)] : [])];
  }

  /** The pieces of a version 1 `.ecdc` file, as the audio comes. */
  compress(audio: LiveSource, options: LiveCompressOptions = {}): AsyncGenerator<Uint8Array> {
    return this.#stream('compress', options, audio);
  }

  /** The PCM of a version 1 stream, as that comes; pieces may end inside a sample. */
  decompress(ecdc: LiveSource, options: LiveDecompressOptions = {}): AsyncGenerator<Uint8Array> {
    return this.#stream('decompress', options, ecdc);
  }

  /** Audio for the listeners of a relay; `told` hears how many there are. */
  async speak(name: string, audio: LiveSource, options: SpeakOptions = {}): Promise<void> {
    const call = { ...options, role: 'speak' };
    for await (const _ of this.#stream(`relay/${encodeURIComponent(name)}`, call, audio));
  }

  /** What the speaker of a relay says, until it ends; waits for a speaker. */
  listen(name: string, options: ListenOptions = {}): AsyncGenerator<Uint8Array> {
    return this.#stream(`relay/${encodeURIComponent(name)}`, options, null);
  }

  async *#stream(path: string, options: LiveCallOptions, source: LiveSource | null): AsyncGenerator<Uint8Array> {
    const { signal, told, ...parameters } = options;
    signal?.throwIfAborted();
    if (typeof WebSocket === 'undefined') throw new EncodecClientError('there is no WebSocket: use Node 22, or --experimental-websocket');
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
    const socket = new WebSocket(`${this.#url}/live/${path}?${query}`, this.#protocols);
    socket.binaryType = 'arraybuffer';
    const pieces: Uint8Array[] = [];
    let over = false;
    let failure: unknown = null;
    let changed = (): void => {};
    const finish = (error: unknown): void => {
      if (!over) [over, failure] = [true, error];
      changed();
    };
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>): void => {
      if (typeof data !== 'string') {
        pieces.push(new Uint8Array(data));
        return changed();
      }
      const message = JSON.parse(data) as LiveMessage;
      if (message.type === 'error') return finish(problemIn(message));
      told?.(message);
      if (message.type === 'ready' && source) send(socket, source).catch(finish);
      if (message.type === 'end') finish(null);
    };
    socket.onclose = ({ code }: CloseEvent): void =>
      finish(new ConnectionFailedError(`the stream broke off with code ${code}`));
    socket.onerror = (): void => finish(new ConnectionFailedError('the connection failed'));
    const aborted = (): void => finish(signal?.reason);
    signal?.addEventListener('abort', aborted);
    try {
      while (pieces.length || !over) {
        const piece = pieces.shift();
        if (piece) yield piece;
        else await new Promise<void>((resolve) => (changed = resolve));
      }
      if (failure !== null) throw failure;
    } finally {
      over = true;
      signal?.removeEventListener('abort', aborted);
      socket.close();
    }
  }
}

/** All of a source, as fast as the connection takes it. */
async function send(socket: WebSocket, source: LiveSource): Promise<void> {
  for await (const piece of source) {
    const bytes = ArrayBuffer.isView(piece)
      ? new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
      : new Uint8Array(piece);
    for (let at = 0; at < bytes.length; at += MOST_SENT) {
      while (socket.readyState === WebSocket.OPEN && socket.bufferedAmount > MOST_BUFFERED) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
      }
      if (socket.readyState !== WebSocket.OPEN) return;
      socket.send(bytes.subarray(at, at + MOST_SENT) as Uint8Array<ArrayBuffer>);
    }
  }
  if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"end"}');
}

function problemIn(message: LiveMessage): ProblemError {
  const document = message['problem'] as Partial<ProblemDocument>;
  return new ProblemError(document.status ?? 0, document, null, null);
}
