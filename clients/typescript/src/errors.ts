/** What goes wrong: `EncodecClientError` is any of it. */
import type { components } from './schema.js';

export type ProblemDocument = components['schemas']['ProblemDocument'];

/** The base of this package's errors. */
export class EncodecClientError extends Error {
  override name = 'EncodecClientError';
}

/** The service could not be reached, or the connection broke before the answer was whole. */
export class ConnectionFailedError extends EncodecClientError {
  override name = 'ConnectionFailedError';
}

/** A job was asked for, and the service keeps none: it has answered at once. */
export class NoJobsError extends EncodecClientError {
  override name = 'NoJobsError';
}

/** An error that the service answered with (RFC 9457). */
export class ProblemError extends EncodecClientError {
  override name = 'ProblemError';
  /** Stable, for programs: `busy`, `undecodable_audio`, …; `unknown` where the answer was not a
   * problem document, such as a proxy's. */
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Of 422, what is wrong with each parameter. */
  readonly errors: NonNullable<ProblemDocument['errors']>;

  constructor(
    readonly status: number,
    document: Partial<ProblemDocument>,
    /** What the service's log calls the request. */
    readonly requestId: string | null,
    /** Seconds after which the service asks to be tried again. */
    readonly retryAfter: number | null,
  ) {
    const { code = 'unknown', title = '', detail = '', errors } = document;
    super(`${status} ${code}: ${title}${detail ? ` (${detail})` : ''}`);
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.errors = errors ?? [];
  }
}

/** The problem of an answer whose body has not been read. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const after = response.headers.get('retry-after');
  return new ProblemError(
    response.status,
    await document(response),
    response.headers.get('x-request-id'),
    after !== null && /^\d+$/.test(after) ? Number(after) : null,
  );
}

async function document(response: Response): Promise<Partial<ProblemDocument>> {
  const text = await response.text().catch(() => '');
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found === 'object' && found !== null) return found;
  } catch {
    // not a problem document
  }
  return { title: response.statusText };
}
