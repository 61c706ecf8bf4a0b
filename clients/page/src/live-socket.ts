/** One live stream over WebSocket (docs/live.md): binary messages are data, text messages say how it
 * goes. */

import { Problem, keyProtocols, type Query } from "./api";

/** What the service says, as far as the page uses it. */
export interface LiveMessage {
  type: "ready" | "header" | "start" | "progress" | "pong" | "end" | "error" | string;
  sample_rate?: number;
  channels?: number;
  waiting?: boolean;
  received?: number;
  sent?: number;
  samples?: number;
  step_ms?: number;
  listeners?: number;
  complete?: boolean;
  problem?: { title: string; detail: string; code: string; status: number };
}

export interface LiveHandlers {
  onMessage?: (message: LiveMessage) => void;
  onData?: (data: ArrayBuffer) => void;
  /** Last of all: null where the stream has ended well. */
  onEnd: (problem: Problem | null) => void;
}

const LIVE = "encodec.live.v1";
const STOPS = 1012; // the close code of a service that stops
const MOST_BUFFERED = 1 << 18; // bytes that wait in the browser; what comes after them is dropped

export class LiveSocket {
  private readonly socket: WebSocket;
  private ended = false;
  /** Whether data may be sent. */
  ready = false;
  /** Resolves when data may be sent; rejects with `Problem` where it comes to nothing. */
  readonly opened: Promise<void>;

  constructor(path: string, query: Query, handlers: LiveHandlers) {
    const url = new URL(path, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
    this.socket = new WebSocket(url, [LIVE, ...keyProtocols()]);
    this.socket.binaryType = "arraybuffer";
    let problem: Problem | null = null;
    let open = () => {};
    let fail = (_: Problem) => {};
    this.opened = new Promise((resolve, reject) => ([open, fail] = [resolve, reject]));
    this.opened.catch(() => {}); // whoever does not wait for it is told by onEnd
    this.socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data !== "string") return handlers.onData?.(data);
      const message = JSON.parse(data) as LiveMessage;
      if (message.type === "ready") {
        this.ready = true;
        open();
      }
      if (message.type === "end") this.ended = true;
      if (message.problem) {
        const { title, detail, code, status } = message.problem;
        problem = new Problem(title, detail, code, status, null, null);
      }
      handlers.onMessage?.(message);
    };
    this.socket.onclose = ({ code }) => {
      this.ready = false;
      const broken = new Problem("The stream broke off", `The connection ended with code ${code}.`, "connection", 0, null, null);
      if (code === STOPS) problem = new Problem("The service stops", "It has ended the stream.", "shutting_down", 0, null, null);
      fail(problem ?? broken);
      handlers.onEnd(problem ?? (this.ended ? null : broken));
    };
  }

  /** Send data, unless so much waits already that the connection cannot carry it. */
  send(data: ArrayBuffer): void {
    if (this.ready && this.socket.bufferedAmount < MOST_BUFFERED) this.socket.send(data);
  }

  /** No more data comes; what is left of the other's comes still. */
  end(): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "end" }));
    else this.close();
  }

  /** Leave at once. */
  close(): void {
    this.ended = true;
    this.socket.close();
  }
}
