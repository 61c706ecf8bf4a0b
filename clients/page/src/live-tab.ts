/** The tab of live audio: speak into a relay, hear yourself as listeners do, send them a link, and
 * listen to somebody else's. */

import { Problem, unlessAborted } from "./api";
import { announce, byId, chosenRadio, download, element, fillFacts, fillRadios, formatTime } from "./dom";
import { Loudspeaker, openMicrophone, type Microphone, type PlaybackReport } from "./live-audio";
import { LiveSocket } from "./live-socket";
import type { Model } from "./models";
import { Task } from "./task";

const MODEL = "encodec_24khz"; // the causal one, which can be live
const MODEL_RATE = 24_000; // Hz
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
  report: PlaybackReport = { held: 0, peak: 0, gaps: 0, done: false };
  /** Whether nobody speaks yet. */
  waiting = true;
  /** Of the stream, that have come. */
  seconds = 0;
  readonly socket: LiveSocket;
  private rest = new Uint8Array(0); // of a sample that a message cut

  private constructor(name: string, readonly loudspeaker: Loudspeaker, onEnd: (problem: Problem | null) => void) {
    const query = { role: "listen", output: "f32", channels: 1, sample_rate: loudspeaker.sampleRate };
    this.socket = new LiveSocket(relayPath(name), query, {
      onEnd,
      onData: (data) => this.receive(data),
      onMessage: ({ type, waiting }) => {
        if (type === "ready") this.waiting = waiting ?? true;
        if (type === "start") this.waiting = false;
      },
    });
  }

  static async start(name: string, signal: AbortSignal, onEnd: (problem: Problem | null) => void): Promise<Listening> {
    let listening: Listening | null = null;
    const loudspeaker = await Loudspeaker.open((report) => {
      if (listening) listening.report = report;
    }, signal);
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

  /** The stream has ended: hear what has come. */
  playOut(): void {
    this.loudspeaker.end();
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
  /** Of the file so far; null where that is not known yet. */
  kbps: number | null;
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
  private readonly name = newName(); // of the relay for what is spoken here
  private invited = ""; // the name of the one that a link has named
  private speaking: Speaking | null = null;
  private listening: Listening | null = null;
  private said = ""; // of what was heard last
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

  /** Offer to listen to this relay, in place of another. Who is on air stays so, and sees it. */
  invite(name: string): void {
    if (name === this.invited) return;
    this.task.cancel();
    this.stopListening();
    this.invited = name;
    byId("listen-card", HTMLElement).hidden = false;
    byId("speak-card", HTMLElement).hidden = !this.speaking && !byId("live-downloads", HTMLElement).hasChildNodes();
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
        await unlessAborted(Promise.all([speaking.keeper.opened, speaking.self.socket.opened]), signal);
        speaking.socket = this.openSpeaker(speaking);
        await unlessAborted(speaking.socket.opened, signal);
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
    const lost = (title: string, problem: Problem | null) => {
      if (!problem || !speaking || this.speaking !== speaking) return;
      this.task.show(new Problem(title, problem.message, problem.code, problem.status, null, null));
    };
    const onEnd = (problem: Problem | null) => lost("You do not hear yourself any more", problem);
    const self = await Listening.start(this.name, signal, onEnd).catch((error: unknown) => {
      microphone.stop();
      throw error;
    });
    const keeper = new LiveSocket(relayPath(this.name), { role: "listen", output: "ecdc" }, {
      onData: (data) => file.push(data),
      onMessage: ({ type, sent, samples }) => {
        if (type === "progress" && speaking && sent && samples) speaking.kbps = (sent * 8) / (samples / MODEL_RATE) / 1000;
      },
      onEnd: (problem) => {
        lost("What is said now is not kept any more", problem);
        this.offerFile(file);
      },
    });
    speaking = { microphone, self, keeper, file, socket: null, kbps: null, listeners: 0, stepMs: 0, started: performance.now() };
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
      this.said = "";
      const listening = await Listening.start(this.invited, signal, (problem) => {
        if (this.listening !== listening) return;
        this.listening = null;
        listening.playOut();
        if (problem) this.task.show(problem);
        else announce((this.said = "The speaker has left."));
        this.showState();
      });
      try {
        await unlessAborted(listening.socket.opened, signal);
      } catch (error) {
        listening.stop();
        throw error;
      }
      this.listening = listening;
      this.showState();
    });
  }

  private stopListening(): void {
    this.listening?.stop();
    this.listening = null;
    this.said = "";
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
      const { keeper, self, kbps, listeners } = speaking;
      const own = [keeper, self.socket].filter(({ ready }) => ready).length;
      fillFacts(facts, [
        ["On air", formatTime((performance.now() - speaking.started) / 1000, 0)],
        ["Rate", kbps && keeper.ready ? `${kbps.toFixed(2)} kbps` : "…"],
        ["Others who listen", String(Math.max(0, listeners - own))], // without oneself, and the file
        ["Step of the service", `${speaking.stepMs.toFixed(0)} ms`],
        ["Held before it is heard", `${Math.round(self.report.held * 1000)} ms`],
      ]);
    }
    const listen = byId("listen", HTMLButtonElement);
    listen.textContent = listening ? "Stop" : "Listen";
    listen.setAttribute("aria-pressed", String(Boolean(listening)));
    byId("listen-level", HTMLMeterElement).value = listening?.report.peak ?? 0;
    byId("listen-state", HTMLElement).textContent = listening ? stateOf(listening) : this.said;
  }
}

function stateOf({ seconds, report, waiting }: Listening): string {
  if (seconds) return `Live: ${formatTime(seconds, 0)} heard, ${Math.round(report.held * 1000)} ms held.`;
  return waiting ? "Waiting for the speaker…" : "Connected: the sound is on its way…";
}
