/** The tab of live audio: speak into a relay, hear yourself as listeners do, send them a link, and
 * listen to somebody else's. */

import type { Problem } from "./api";
import { announce, byId, chosenRadio, download, element, fillFacts, fillRadios, formatTime } from "./dom";
import { Loudspeaker, openMicrophone, type Microphone, type PlaybackReport } from "./live-audio";
import { LiveSocket } from "./live-socket";
import type { Model } from "./models";
import { Task } from "./task";

const MODEL = "encodec_24khz"; // the causal one, which can be live
const LISTEN = "#listen=";
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** The relay that a link names; null where it names none. */
export function relayOf(hash: string): string | null {
  const name = hash.startsWith(LISTEN) ? hash.slice(LISTEN.length) : "";
  return NAME.test(name) ? name : null;
}

/** A name that nobody guesses. */
function newName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What is heard of a relay: a stream of PCM into the loudspeaker. */
class Listening {
  report: PlaybackReport = { held: 0, peak: 0, gaps: 0 };
  /** Of the stream, that have come. */
  seconds = 0;
  readonly socket: LiveSocket;
  private rest = new Uint8Array(0); // of a sample that a message cut

  private constructor(name: string, readonly loudspeaker: Loudspeaker, onEnd: (problem: Problem | null) => void) {
    const query = { role: "listen", output: "f32", channels: 1, sample_rate: loudspeaker.sampleRate };
    this.socket = new LiveSocket(relayPath(name), query, { onEnd, onData: (data) => this.receive(data) });
  }

  static async start(name: string, onEnd: (problem: Problem | null) => void): Promise<Listening> {
    let listening: Listening | null = null;
    const loudspeaker = await Loudspeaker.open((report) => {
      if (listening) listening.report = report;
    });
    return (listening = new Listening(name, loudspeaker, onEnd));
  }

  private receive(data: ArrayBuffer): void {
    const bytes = new Uint8Array(this.rest.length + data.byteLength);
    bytes.set(this.rest);
    bytes.set(new Uint8Array(data), this.rest.length);
    const whole = bytes.length - (bytes.length % 4);
    this.rest = bytes.slice(whole);
    const samples = new Float32Array(bytes.buffer.slice(0, whole));
    this.seconds += samples.length / this.loudspeaker.sampleRate;
    if (samples.length) this.loudspeaker.play(samples);
  }

  stop(): void {
    this.socket.close();
    this.loudspeaker.close();
  }
}

/** Speaking into a relay. */
interface Speaking {
  microphone: Microphone;
  /** Null until the others are connected. */
  socket: LiveSocket | null;
  /** Hears the relay as everybody does. */
  self: Listening;
  /** Keeps the file. */
  keeper: LiveSocket;
  file: ArrayBuffer[];
  listeners: number;
  stepMs: number;
  started: number;
}

/** End what was said; the keeper gets the rest of the file, and then its end. */
function hangUp({ microphone, socket, self, keeper }: Speaking): void {
  microphone.stop();
  self.stop();
  if (socket) socket.end();
  else keeper.close();
}

function relayPath(name: string): string {
  return `live/relay/${name}`;
}

export class LiveTab {
  private readonly task: Task;
  private name = newName();
  private speaking: Speaking | null = null;
  private listening: Listening | null = null;
  private level = 0;

  constructor(onKeyNeeded: () => void) {
    this.task = new Task(byId("live-progress", HTMLElement), byId("live-problem", HTMLElement), onKeyNeeded);
    byId("speak", HTMLButtonElement).onclick = () => void (this.speaking ? this.stopSpeaking() : this.speak());
    byId("listen", HTMLButtonElement).onclick = () => void (this.listening ? this.stopListening() : this.listen());
    byId("hear-self", HTMLInputElement).onchange = () => this.applySelf();
    byId("copy-link", HTMLButtonElement).onclick = () => {
      byId("link", HTMLInputElement).select();
      void navigator.clipboard?.writeText(byId("link", HTMLInputElement).value);
    };
    byId("live-form", HTMLFormElement).onsubmit = (event) => event.preventDefault();
    setInterval(() => this.showState(), 200);
    this.showLink();
  }

  offer(models: Model[]): void {
    const model = models.find(({ name }) => name === MODEL);
    const rates = model?.bandwidths.map(({ kbps }) => String(kbps)) ?? [];
    fillRadios(byId("live-bandwidth", HTMLFieldSetElement), "live-bandwidth", rates.map((value) => ({ value, label: value })), "6");
    byId("speak", HTMLButtonElement).disabled = !model;
  }

  /** Offer to listen to this relay. */
  invite(name: string): void {
    this.name = name;
    byId("listen-card", HTMLElement).hidden = false;
    byId("speak-card", HTMLElement).hidden = true;
  }

  private showLink(): void {
    byId("link", HTMLInputElement).value = new URL(`${LISTEN}${this.name}`, location.href).href;
  }

  private async speak(): Promise<void> {
    if (this.task.busy) return;
    await this.task.run(async ({ say, signal }) => {
      say("Asking for the microphone");
      const speaking = await this.connect(signal);
      try {
        await Promise.all([speaking.keeper.opened, speaking.self.socket.opened]);
        signal.throwIfAborted();
        speaking.socket = this.openSpeaker(speaking);
        await speaking.socket.opened;
        signal.throwIfAborted();
      } catch (error) {
        speaking.socket?.close();
        hangUp({ ...speaking, socket: null });
        throw error;
      }
      byId("live-downloads", HTMLElement).replaceChildren();
      this.speaking = speaking;
      this.applySelf();
      this.showState();
    });
  }

  /** The microphone, and the two who listen from the start, so that they get all of the file. */
  private async connect(signal: AbortSignal): Promise<Speaking> {
    let speaking: Speaking | null = null;
    const microphone = await openMicrophone((samples) => {
      this.level = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      speaking?.socket?.send(samples.buffer);
    }, signal);
    const file: ArrayBuffer[] = [];
    const self = await Listening.start(this.name, () => {}).catch((error: unknown) => {
      microphone.stop();
      throw error;
    });
    const keeper = new LiveSocket(relayPath(this.name), { role: "listen", output: "ecdc" }, {
      onData: (data) => file.push(data),
      onEnd: () => this.offerFile(file),
    });
    speaking = { microphone, self, keeper, file, socket: null, listeners: 0, stepMs: 0, started: performance.now() };
    return speaking;
  }

  private openSpeaker(speaking: Speaking): LiveSocket {
    const bandwidth = chosenRadio(byId("live-bandwidth", HTMLFieldSetElement));
    const query = { role: "speak", input: "f32", channels: 1, sample_rate: speaking.microphone.sampleRate, bandwidth };
    return new LiveSocket(relayPath(this.name), query, {
      onMessage: ({ type, listeners, step_ms }) => {
        if (type !== "progress") return;
        speaking.listeners = listeners ?? 0;
        speaking.stepMs = step_ms ?? 0;
      },
      onEnd: (problem) => {
        if (this.speaking !== speaking) return;
        this.stopSpeaking();
        if (problem) this.task.show(problem);
      },
    });
  }

  private stopSpeaking(): void {
    const { speaking } = this;
    if (!speaking) return;
    this.speaking = null;
    hangUp(speaking);
    this.level = 0;
    this.showState();
  }

  /** The file of what was said. */
  private offerFile(parts: ArrayBuffer[]): void {
    if (!parts.length) return;
    const file = new Blob(parts);
    const onclick = () => download(file, "live.ecdc");
    byId("live-downloads", HTMLElement).replaceChildren(element("button", { type: "button", textContent: "Save what was said (.ecdc)", onclick }));
  }

  /** Hear oneself, or not. */
  private applySelf(): void {
    if (this.speaking) this.speaking.self.loudspeaker.muted = !byId("hear-self", HTMLInputElement).checked;
  }

  private async listen(): Promise<void> {
    if (this.task.busy) return;
    await this.task.run(async ({ say, signal }) => {
      say("Connecting");
      const listening = await Listening.start(this.name, (problem) => {
        if (this.listening !== listening) return;
        this.stopListening();
        if (problem) this.task.show(problem);
        else announce((byId("listen-state", HTMLElement).textContent = "The speaker has left."));
      });
      try {
        await listening.socket.opened;
        signal.throwIfAborted();
      } catch (error) {
        listening.stop();
        throw error;
      }
      this.listening = listening;
      this.showState();
    });
  }

  private stopListening(): void {
    const { listening } = this;
    this.listening = null;
    listening?.stop();
    this.showState();
  }

  private showState(): void {
    const { speaking, listening } = this;
    const button = byId("speak", HTMLButtonElement);
    button.textContent = speaking ? "Stop" : "Speak";
    button.setAttribute("aria-pressed", String(Boolean(speaking)));
    byId("live-bandwidth", HTMLFieldSetElement).disabled = Boolean(speaking);
    byId("level", HTMLMeterElement).value = speaking ? this.level : 0;
    const facts = byId("live-facts", HTMLDListElement);
    facts.hidden = !speaking;
    if (speaking) {
      const bytes = speaking.file.reduce((sum, part) => sum + part.byteLength, 0);
      const { seconds, report } = speaking.self;
      fillFacts(facts, [
        ["On air", formatTime((performance.now() - speaking.started) / 1000, 0)],
        ["Rate", seconds > 1 ? `${((bytes * 8) / seconds / 1000).toFixed(2)} kbps` : "…"],
        ["Others who listen", String(Math.max(0, speaking.listeners - 2))], // without oneself, and the file
        ["Step of the service", `${speaking.stepMs.toFixed(0)} ms`],
        ["Held before it is heard", `${Math.round(report.held * 1000)} ms`],
      ]);
    }
    const listen = byId("listen", HTMLButtonElement);
    listen.textContent = listening ? "Stop" : "Listen";
    listen.setAttribute("aria-pressed", String(Boolean(listening)));
    byId("listen-level", HTMLMeterElement).value = listening?.report.peak ?? 0;
    const state = byId("listen-state", HTMLElement);
    if (listening) {
      const { seconds, report } = listening;
      const held = Math.round(report.held * 1000);
      state.textContent = seconds ? `Live: ${formatTime(seconds, 0)} heard, ${held} ms held.` : "Waiting for the speaker…";
    } else if (state.textContent?.startsWith("Live") || state.textContent?.startsWith("Wait")) state.textContent = "";
  }
}
