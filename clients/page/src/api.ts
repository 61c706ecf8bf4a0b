/** Calls of the service: progress, cancelling, problems, keys, and waiting when it is full. */

import { keyBytes, keyProtocol } from "../../typescript/src/keys";

/** An error of the service (RFC 9457), or of the way to it. */
export class Problem extends Error {
  constructor(
    readonly title: string,
    readonly detail: string,
    /** For programs; `connection` where no answer came. */
    readonly code: string,
    /** HTTP status; 0 where no answer came. */
    readonly status: number,
    readonly requestId: string | null,
    /** Seconds after which the service may be asked again. */
    readonly retryAfter: number | null,
  ) {
    super(`${title}: ${detail}`);
  }
}

/** What a call answered. */
export interface Answer {
  data: ArrayBuffer;
  /** A header, null where it is not there. */
  header(name: string): string | null;
  /** From the start of the call to the end of the answer. */
  seconds: number;
}

/** What one hears of a call while it runs. */
export interface CallOptions {
  signal?: AbortSignal;
  /** Bytes sent, of so many. */
  onUpload?: (sent: number, total: number) => void;
  /** Bytes received, of so many; 0 where that is not known. */
  onDownload?: (received: number, total: number) => void;
  /** The service is full: it is asked again after so many seconds. */
  onWait?: (seconds: number, problem: Problem) => void;
  /** Only the headers are wanted: the call ends with them, and `data` is empty. */
  headersOnly?: boolean;
}

export type Query = Record<string, string | number | boolean | undefined>;

const TIMES_TO_WAIT = 3;
const LONGEST_WAIT = 30; // s
const KEY = "encodec-api-key";

let apiKey = sessionStorage.getItem(KEY) ?? "";
const waitForKey: (() => void)[] = [];

/** Send this key with every call; kept until the tab is closed. */
export function setApiKey(key: string): void {
  apiKey = key;
  sessionStorage.setItem(KEY, key);
  for (const listener of waitForKey) listener();
}

/** Call `listener` whenever a key was given. */
export function onApiKey(listener: () => void): void {
  waitForKey.push(listener);
}

/** The headers that every call needs. */
export function authorization(): Record<string, string> {
  return apiKey ? { Authorization: `Bearer ${keyBytes(apiKey)}` } : {};
}

/** The key as a WebSocket takes it: browsers give it no headers. */
export function keyProtocols(): string[] {
  return apiKey ? [keyProtocol(apiKey)] : [];
}

/** Whether an error only says that the user cancelled. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** POST `body` to a path of the service. Where the service is full it is asked again, a few times,
 * after the seconds that it says. Throws `Problem`, and `AbortError` when cancelled. */
export async function post(path: string, query: Query, body: Blob | FormData, options: CallOptions = {}): Promise<Answer> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await send("POST", path + search(query), body, options);
    } catch (error) {
      const wait = error instanceof Problem && error.status !== 507 ? error.retryAfter : null;
      if (wait === null || attempt === TIMES_TO_WAIT || wait > LONGEST_WAIT) throw error;
      options.onWait?.(wait, error as Problem);
      await pause(wait, options.signal);
    }
  }
}

/** GET the JSON at a path. Throws `Problem`. */
export async function getJson<T>(path: string): Promise<T> {
  return parse<T>(await send("GET", path, null, {}));
}

/** The JSON of an answer. */
export function parse<T>(answer: Answer): T {
  return JSON.parse(new TextDecoder().decode(answer.data)) as T;
}

function search(query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}

/** One request. XMLHttpRequest, since fetch says nothing of the upload's progress. */
function send(method: string, url: string, body: Blob | FormData | null, options: CallOptions): Promise<Answer> {
  const { signal, onUpload, onDownload, headersOnly } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted());
    const request = new XMLHttpRequest();
    const started = performance.now();
    const abort = () => request.abort();
    signal?.addEventListener("abort", abort);
    request.open(method, url);
    request.responseType = "arraybuffer";
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    if (body instanceof Blob) request.setRequestHeader("Content-Type", "application/octet-stream");
    if (onUpload) request.upload.onprogress = (event) => onUpload(event.loaded, event.total);
    if (onDownload) request.onprogress = (event) => onDownload(event.loaded, event.total);
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    request.onabort = () => reject(aborted());
    request.onerror = () => void whyNoAnswer(body).then(reject);
    if (headersOnly)
      request.onreadystatechange = () => {
        if (request.readyState !== XMLHttpRequest.HEADERS_RECEIVED || request.status >= 400) return;
        const lines = request.getAllResponseHeaders().trim().split("\r\n");
        const headers = new Headers(lines.map((line) => line.split(/: (.*)/, 2) as [string, string]));
        resolve({ data: new ArrayBuffer(0), header: (name) => headers.get(name), seconds: (performance.now() - started) / 1000 });
        request.abort();
      };
    request.onload = () => {
      const data = request.response as ArrayBuffer;
      const header = (name: string) => request.getResponseHeader(name);
      if (request.status >= 400) return reject(toProblem(request.status, data, header));
      resolve({ data, header, seconds: (performance.now() - started) / 1000 });
    };
    request.send(body);
  });
}

/** The connection broke, or the browser could not read what it had to send. */
async function whyNoAnswer(body: Blob | FormData | null): Promise<Problem> {
  const sent = body instanceof FormData ? [...body.values()] : [body];
  try {
    for (const part of sent) if (part instanceof Blob) await part.slice(0, 1).arrayBuffer();
  } catch {
    const detail = "It was changed, moved or deleted after it was chosen. Choose it again.";
    return new Problem("The file cannot be read any more", detail, "unreadable_file", 0, null, null);
  }
  return new Problem("No answer", "The connection to the service broke or could not be made.", "connection", 0, null, null);
}

function toProblem(status: number, data: ArrayBuffer, header: (name: string) => string | null): Problem {
  const retryAfter = Number.parseInt(header("Retry-After") ?? "", 10);
  let said: Record<string, unknown> = {};
  try {
    said = JSON.parse(new TextDecoder().decode(data)) as Record<string, unknown>;
  } catch {
    // not of the service: a proxy's error page
  }
  return new Problem(
    String(said.title ?? `Status ${status}`),
    String(said.detail ?? "The answer is not from the service."),
    String(said.code ?? "unknown"),
    status,
    header("X-Request-ID"),
    Number.isNaN(retryAfter) ? null : retryAfter,
  );
}

function aborted(): DOMException {
  return new DOMException("cancelled", "AbortError");
}

/** Wait for some seconds. Throws `AbortError` when cancelled meanwhile. */
export function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted());
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(aborted());
    });
  });
}

/** What `promise` gives. Throws `AbortError` at once when cancelled meanwhile; `free` gets what comes
 * later. */
export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal, free: (late: T) => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = () => {
      reject(aborted());
      promise.then(free, () => {});
    };
    if (signal?.aborted) return cancel();
    signal?.addEventListener("abort", cancel);
    promise.then(resolve, reject).finally(() => signal?.removeEventListener("abort", cancel));
  });
}
