import type { ErrorCode } from "./types.js";

/** Every error of this package. */
export class EncodecError extends Error {
  override readonly name = "EncodecError";

  /** `problem`: the service's problem document, if there is one. */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly problem?: Record<string, unknown>,
  ) {
    super(message);
  }

  /** What goes through `postMessage`, which keeps no classes. */
  toPlain(): PlainError {
    return { code: this.code, message: this.message, problem: this.problem };
  }

  static fromPlain(plain: PlainError): EncodecError {
    return new EncodecError(plain.code, plain.message, plain.problem);
  }

  /** An error of this package as it is; anything else is the engine's failure. */
  static from(error: unknown): EncodecError {
    if (error instanceof EncodecError) return error;
    if (error instanceof DOMException && error.name === "AbortError")
      return new EncodecError("aborted", "aborted");
    return new EncodecError("engine_failed", error instanceof Error ? error.message : `${error}`);
  }
}

export interface PlainError {
  code: ErrorCode;
  message: string;
  problem?: Record<string, unknown>;
}

export function invalidFile(message: string): EncodecError {
  return new EncodecError("invalid_file", message);
}

export function throwIfAborted(signal?: AbortSignal): void {
  if (signal?.aborted) throw new EncodecError("aborted", "aborted by its signal");
}
