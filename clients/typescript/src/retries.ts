/** When a call is tried again: every call may be, but for deleting a job. */
import { ConnectionFailedError, ProblemError } from './errors.js';

export interface Retries {
  /** Tries after the first; 4. */
  times: number;
  /** s; a service that asks for more is not tried again. 60. */
  longestWait: number;
}

export const DEFAULT_RETRIES: Retries = { times: 4, longestWait: 60 };

const ASKED = new Set([429, 503, 507]); // the service says in how many seconds
const FIRST_WAIT = 0.5; // s
const UNKNOWN_WAIT = 2; // s

/** Seconds to wait after so many tries, or null to give up. */
export function waitAfter(error: unknown, tried: number, retries: Retries): number | null {
  if (tried > retries.times) return null;
  const wait = wanted(error, tried);
  return wait !== null && wait <= retries.longestWait ? wait : null;
}

function wanted(error: unknown, tried: number): number | null {
  const growing = FIRST_WAIT * 2 ** (tried - 1);
  if (error instanceof ConnectionFailedError) return tried === 1 ? 0 : growing;
  if (!(error instanceof ProblemError)) return null;
  if (ASKED.has(error.status)) return error.retryAfter ?? UNKNOWN_WAIT;
  if (error.status === 408) return 0;
  return error.status === 504 ? 4 * growing : null;
}

/** Resolves after so many seconds; rejects when `signal` is aborted. */
export function sleep(seconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
