/** Something that takes a while: its progress, cancelling it, and the problem it may end in. */

import { Problem, isAbort, onApiKey, type CallOptions } from "./api";
import { announce, element, formatBytes } from "./dom";

/** What a running task says and is told. */
export interface Running {
  signal: AbortSignal;
  /** What happens now, and how much of it is done: 0…1, null where nobody knows. */
  say(text: string, share?: number | null): void;
  /** Options of a call whose body takes `sending` to send, and whose answer `receiving`. */
  call(sending: string, working: string, receiving?: string): CallOptions;
}

export class Task {
  private controller: AbortController | null = null;
  private withKey = () => {}; // what a new key changes

  constructor(
    private readonly progress: HTMLElement,
    private readonly problem: HTMLElement,
    /** When the service wants a key. */
    private readonly onKeyNeeded: () => void,
  ) {
    onApiKey(() => this.withKey());
  }

  /** Run `work` in place of what runs. Its progress is shown, and an error that ends it; returns
   * whether it came to its end. */
  async run(work: (running: Running) => Promise<void>): Promise<boolean> {
    this.cancel();
    const controller = (this.controller = new AbortController());
    this.problem.replaceChildren();
    const bar = element("progress", { max: 1 });
    const text = element("span");
    const cancel = element("button", { type: "button", textContent: "Cancel", onclick: () => this.cancel() });
    bar.setAttribute("aria-label", "Progress");
    this.progress.replaceChildren(element("div", { className: "progress" }, text, bar, cancel));
    let said = "";
    const say = (what: string, share: number | null = null) => {
      if (controller.signal.aborted) return;
      if (share === null) bar.removeAttribute("value");
      else bar.value = share;
      text.textContent = share === null ? `${what}…` : `${what}, ${Math.round(100 * share)} %`;
      if (what !== said) announce((said = what));
    };
    const call = (sending: string, working: string, receiving = working): CallOptions => ({
      signal: controller.signal,
      onUpload: (sent, total) => (sent < total ? say(`${sending} ${formatBytes(total)}`, sent / total) : say(working)),
      onDownload: (received, total) => say(receiving, total ? received / total : null),
      onWait: (seconds, { title }) => say(`${title}: again in ${seconds} s`),
    });
    say("Working");
    try {
      await work({ signal: controller.signal, say, call });
      if (controller.signal.aborted) return false;
      announce("Done");
      return true;
    } catch (error) {
      if (!isAbort(error) && !controller.signal.aborted) this.show(error, () => void this.run(work));
      else if (this.controller === controller) announce("Cancelled");
      return false;
    } finally {
      if (this.controller === controller) {
        this.controller = null;
        this.progress.replaceChildren();
      }
    }
  }

  get busy(): boolean {
    return this.controller !== null;
  }

  cancel(): void {
    this.controller?.abort();
  }

  /** Cancel it, and show no problem. */
  clear(): void {
    this.cancel();
    this.problem.replaceChildren();
  }

  /** Show an error as the service said it. `again` is offered; a new key does it where one was
   * wanted. */
  show(error: unknown, again?: () => void): void {
    const problem = error instanceof Problem ? error : null;
    const card = element("div", { className: "problem" });
    card.setAttribute("role", "alert");
    card.append(
      element("h3", { textContent: problem?.title ?? "That did not work" }),
      element("p", { textContent: problem?.detail ?? (error instanceof Error ? error.message : String(error)) }),
    );
    if (problem) {
      const facts = [`code ${problem.code}`, problem.status ? `status ${problem.status}` : ""];
      if (problem.requestId) facts.push(`request ${problem.requestId}`);
      card.append(element("p", { textContent: facts.filter(Boolean).join(" · ") }));
      if (problem.status === 401) this.onKeyNeeded();
    } else console.error(error);
    const row = element("div", { className: "row" });
    const retry = () => {
      card.remove();
      again?.();
    };
    if (again) row.append(element("button", { type: "button", textContent: "Try again", onclick: retry }));
    this.withKey = () => {
      if (problem?.status === 401 && card.isConnected) retry();
    };
    row.append(element("button", { type: "button", textContent: "Dismiss", onclick: () => card.remove() }));
    card.append(row);
    this.problem.replaceChildren(card);
  }
}
