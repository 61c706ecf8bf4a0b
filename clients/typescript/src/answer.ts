/** What comes back: a file, and what the service says of it. */
import { ConnectionFailedError } from './errors.js';

/** What the headers of an answer say; null where they do not. */
export interface Facts {
  model: string | null;
  /** Where they are from and which they are: `bundled:1a2b3c4d`. */
  weights: string | null;
  /** Nominal, kbps. */
  bandwidth: number | null;
  /** Of the audio, s. */
  duration: number | null;
  compressedBytes: number | null;
  compressedKbps: number | null;
  /** What of the audio a higher effort would code better (`X-Encodec-Warning`). */
  warning: string | null;
  /** What of a damaged file is lost (`X-Encodec-Salvaged`). */
  salvaged: string | null;
  filename: string | null;
  requestId: string | null;
}

/** From the headers of an answer. */
export function factsOf(headers: Headers): Facts {
  const number = (name: string): number | null => {
    const value = headers.get(name);
    return value === null ? null : Number(value);
  };
  const name = /filename="([^"]*)"/.exec(headers.get('content-disposition') ?? '');
  return {
    model: headers.get('x-encodec-model'),
    weights: headers.get('x-encodec-weights'),
    bandwidth: number('x-encodec-bandwidth'),
    duration: number('x-audio-duration'),
    compressedBytes: number('x-compressed-bytes'),
    compressedKbps: number('x-compressed-kbps'),
    warning: headers.get('x-encodec-warning'),
    salvaged: headers.get('x-encodec-salvaged'),
    filename: name?.[1] ?? null,
    requestId: headers.get('x-request-id'),
  };
}

/** Bytes that were received, of how many; null where that is not known. */
export type Progress = (received: number, total: number | null) => void;

/** A file that comes as it is read, once. */
export class Answer {
  readonly facts: Facts;
  readonly headers: Headers;
  readonly contentType: string;
  /** The pieces as they come. It fails with `ConnectionFailedError` where they end too early. */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;

  constructor(response: Response, progress?: Progress) {
    this.headers = response.headers;
    this.facts = factsOf(response.headers);
    this.contentType = response.headers.get('content-type') ?? '';
    const length = response.headers.get('content-length');
    this.stream = counted(response, length === null ? null : Number(length), progress);
  }

  /** All of it. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await new Response(this.stream).arrayBuffer());
  }

  /** All of it. */
  async blob(): Promise<Blob> {
    return new Blob([await this.bytes()], { type: this.contentType });
  }

  /** Stop receiving it. */
  async cancel(): Promise<void> {
    await this.stream.cancel();
  }
}

function counted(
  response: Response,
  total: number | null,
  progress?: Progress,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = response.body?.getReader();
  let received = 0;
  return new ReadableStream({
    async pull(controller) {
      const piece = await reader?.read().catch((error: unknown) => {
        throw connectionFailed(error);
      });
      if (piece === undefined || piece.done) {
        controller.close();
        return;
      }
      received += piece.value.length;
      progress?.(received, total);
      controller.enqueue(piece.value);
    },
    async cancel(reason) {
      await reader?.cancel(reason);
    },
  });
}

/** What an error of `fetch` is to the caller: aborting stays as it is. */
export function connectionFailed(error: unknown): unknown {
  if (error instanceof DOMException && error.name === 'AbortError') return error;
  return new ConnectionFailedError(String(error), { cause: error });
}
