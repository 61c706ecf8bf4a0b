/** The page's side of the worker. */

import type { Answers, Request } from "./worker";

declare const WORKER_URL: string; // put in by the build

export class Analyst {
  private readonly worker = new Worker(new URL(WORKER_URL, document.baseURI));
  private readonly waiting = new Map<number, (answer: never) => void>();
  private asked = 0;

  constructor() {
    this.worker.onmessage = ({ data: { id, answer } }: MessageEvent<{ id: number; answer: never }>) => {
      this.waiting.get(id)?.(answer);
      this.waiting.delete(id);
    };
  }

  ask<K extends Request["kind"]>(request: Extract<Request, { kind: K }>): Promise<Answers[K]> {
    const id = this.asked++;
    this.worker.postMessage({ id, request });
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }
}
