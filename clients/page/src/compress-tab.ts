/** The tab that compresses: a clip comes in, is coded, decoded, heard, shown and measured. */

import { isAbort, post, type Answer } from "./api";
import { Analyst } from "./analyst";
import { RATE, difference, durationOf, mixed, readAudio, shifted, toWav, type Channels } from "./audio";
import { Choices } from "./choices";
import type { Decoding } from "./codec";
import { byId, element, fillFacts, formatBytes, formatDecibels, formatDigits, formatSeconds, formatTime, renamed } from "./dom";
import { offerDownloads } from "./downloads";
import { exampleMusic } from "./example";
import type { Model } from "./models";
import { Player } from "./player";
import { RateCurve } from "./rate-curve";
import { startRecording, type Recording } from "./recorder";
import { SignalsView } from "./signals-view";
import { Task, type Running } from "./task";
import { decodedTrack, wholeTrack } from "./tracks";
import { Transport } from "./transport";

declare const SPEECH_URL: string; // put in by the build

/** s; longer clips are not held in memory, so they are neither drawn nor compared. */
const LONGEST_COMPARED = 180;
const LARGEST_COMPARED = 40_000_000; // bytes of a file whose length is not known
const ORIGINAL = { id: "original", label: "Original", key: "A" };
const DECODED = { id: "decoded", label: "Decoded", key: "B" };
const DIFFERENCE = { id: "difference", label: "Difference", key: "D" };

export class CompressTab {
  private readonly transport = new Transport(byId("compress-transport", HTMLElement), (seconds) => this.view.setTime(seconds));
  private readonly analyst = new Analyst();
  private readonly view = new SignalsView(byId("signals", HTMLElement), this.analyst, (seconds) => this.player?.seek(seconds));
  private readonly choices = new Choices(() => void this.compress());
  private readonly task: Task;
  /** Of the downloads, which go on while something else is compressed. */
  private readonly saving: Task;
  private readonly curve: RateCurve;
  private player: Player | null = null;
  private clip: File | null = null;
  /** Samples of the clip; null where it is too long, or the browser cannot read it. */
  private original: Channels | null = null;
  private recording: Recording | null = null;
  private asking = false; // for the microphone
  /** Whether the clip waits for what there is to choose from. */
  private waiting = false;

  /** `openFile` opens an `.ecdc` file in the other tab. */
  constructor(
    onKeyNeeded: () => void,
    private readonly decoding: Decoding,
    private readonly openFile: (file: File) => void,
  ) {
    decoding.show(byId("decode", HTMLFieldSetElement), () => void this.compress());
    this.task = new Task(byId("compress-progress", HTMLElement), byId("compress-problem", HTMLElement), onKeyNeeded);
    this.saving = new Task(byId("saving-progress", HTMLElement), byId("saving-problem", HTMLElement), onKeyNeeded);
    this.curve = new RateCurve(byId("curve", HTMLElement), this.analyst, onKeyNeeded);
    const input = byId("file", HTMLInputElement);
    byId("choose", HTMLButtonElement).onclick = () => input.click();
    input.onchange = () => {
      const file = input.files?.[0];
      if (file) this.openFile(file);
      input.value = "";
    };
    byId("record", HTMLButtonElement).onclick = ({ detail }) => {
      if (detail < 2) void this.record(); // a double click is one
    };
    byId("music", HTMLButtonElement).onclick = () =>
      void this.take(new File([toWav(exampleMusic())], "music.wav", { type: "audio/wav" }));
    byId("speech", HTMLButtonElement).onclick = () => void this.takeSpeech();
  }

  /** Offer what the service can do. */
  offer(models: Model[]): void {
    this.choices.offer(models);
    if (this.waiting) void this.compress();
  }

  /** Take a clip, and compress it at once. */
  async take(file: File): Promise<void> {
    this.task.cancel();
    this.saving.clear();
    this.player?.clear();
    this.clip = file;
    this.original = null;
    byId("result", HTMLElement).hidden = true;
    byId("intro", HTMLElement).hidden = true;
    this.view.clear();
    this.curve.clear();
    byId("drop", HTMLElement).classList.add("filled");
    byId("clip-title", HTMLElement).textContent = file.name;
    byId("clip-hint", HTMLElement).textContent = formatBytes(file.size);
    let original: Channels | null = null;
    const seconds = await durationOf(file);
    if (seconds === null ? file.size < LARGEST_COMPARED : seconds <= LONGEST_COMPARED) {
      try {
        const channels = await readAudio(file);
        if (channels[0]!.length <= LONGEST_COMPARED * RATE) original = channels;
      } catch {
        // not of a format that this browser reads; the service may
      }
    }
    if (this.clip !== file) return; // another one was taken meanwhile
    this.original = original;
    if (original) await this.analyst.ask({ kind: "original", channels: original });
    if (this.clip === file) await this.compress();
  }

  /** Compress the clip with what is chosen, and show what comes of it. */
  private async compress(): Promise<void> {
    const { clip, original } = this;
    const { model, query } = this.choices;
    this.waiting = clip !== null && !model;
    if (!clip || !model) return;
    this.curve.clear();
    const result = byId("result", HTMLElement);
    result.classList.add("stale"); // until it is what is chosen now
    await this.task.run(async (running) => {
      const body = new FormData();
      body.append("file", clip);
      const answer = await post("compress", query, body, running.call("Sending", "Coding"));
      const ecdc = new File([answer.data], renamed(clip.name, ".ecdc"));
      const seconds = Number(answer.header("X-Audio-Duration"));
      byId("clip-hint", HTMLElement).textContent = `${formatBytes(clip.size)}, ${formatTime(seconds)}`;
      const player = (this.player ??= this.newPlayer());
      const facts = costs(clip, ecdc, answer, model);
      const listen = original ? this.compare(player, original, ecdc, model, running) : this.hear(player, ecdc, model, seconds);
      facts.push(...(await listen));
      if (running.signal.aborted) return;
      this.showWarning(answer.header("X-Encodec-Warning"));
      fillFacts(byId("facts", HTMLDListElement), facts);
      const percent = (100 * ecdc.size) / clip.size;
      byId("headline", HTMLElement).replaceChildren(
        `${Number(answer.header("X-Compressed-Kbps")).toFixed(2)} kbps `,
        element("small", { textContent: `${formatBytes(ecdc.size)}, ${formatDigits(percent, 2)} % of the file` }),
      );
      const row = byId("downloads", HTMLElement);
      offerDownloads(row, this.saving, ecdc, clip.name);
      row.append(element("button", { type: "button", textContent: "Open and peel", onclick: () => this.openFile(ecdc) }));
      if (original) this.curve.offer(clip, model, query);
      byId("curve-card", HTMLElement).hidden = !original;
      result.classList.remove("stale");
      result.hidden = false;
      this.transport.attach(player);
      if (original) this.view.show(player.duration);
    });
  }

  private newPlayer(): Player {
    const player = new Player(0);
    player.addEventListener("failed", (event) => this.task.show((event as CustomEvent).detail, () => void player.play()));
    return player;
  }

  /** Decode all of the file, and hear and see it beside the original. */
  private async compare(player: Player, original: Channels, ecdc: File, model: Model, running: Running): Promise<[string, string][]> {
    const decoded = await this.decoding.whole(ecdc, model.channels, running);
    running.say("Comparing");
    const limit = model.sample_rate / 2;
    const { lag, quality } = await this.analyst.ask({ kind: "decoded", channels: decoded.channels, limit });
    if (running.signal.aborted) return [];
    const length = decoded.channels[0]!.length;
    const inStep = shifted(original, lag, length);
    player.duration = length / RATE;
    player.setTrack(ORIGINAL.id, wholeTrack(inStep));
    player.setTrack(DECODED.id, wholeTrack(decoded.channels));
    player.setTrack(DIFFERENCE.id, wholeTrack(difference(mixed(inStep, decoded.channels.length), decoded.channels)));
    this.transport.offer([ORIGINAL, DECODED, DIFFERENCE]);
    byId("signals", HTMLElement).hidden = false;
    byId("too-long", HTMLElement).hidden = true;
    return [
      ["Decoded in", formatSeconds(decoded.seconds)],
      ["Signal-to-noise ratio", `${formatDecibels(quality.snr)} dB`],
      ["Log-spectral distance", `${formatDecibels(quality.lsd)} dB`],
    ];
  }

  /** Hear what was decoded, part by part: the original is not here. */
  private hear(player: Player, ecdc: File, model: Model, seconds: number): Promise<[string, string][]> {
    player.duration = seconds;
    player.removeTrack(ORIGINAL.id);
    player.removeTrack(DIFFERENCE.id);
    const decode = this.decoding.parts(ecdc, model.channels);
    player.setTrack(DECODED.id, decodedTrack(decode, seconds, this.decoding.partSeconds(ecdc)));
    this.transport.offer([DECODED]);
    byId("signals", HTMLElement).hidden = true;
    const note = byId("too-long", HTMLElement);
    note.textContent =
      seconds > LONGEST_COMPARED
        ? `Clips longer than ${LONGEST_COMPARED / 60} minutes are not compared; what was decoded is played part by part.`
        : "This browser cannot read the file, so it is not compared; what was decoded can be heard.";
    note.hidden = false;
    return Promise.resolve([]);
  }

  private showWarning(warning: string | null): void {
    const note = byId("warning", HTMLElement);
    note.hidden = !warning;
    const kinds = [
      warning?.includes("constant-offset") ? "a constant offset, which turns into noise" : "",
      warning?.includes("opposite-phase") ? "stereo in opposite phase, which comes back too quiet" : "",
    ].filter(Boolean);
    note.textContent = `The audio has ${kinds.join(", and ")}. Effort 1 puts it right.`;
  }

  /** Start recording, or end it. What was recorded is taken when it has ended, also where the
   * microphone has gone. */
  private async record(): Promise<void> {
    if (this.recording) return this.recording.stop();
    if (this.asking) return;
    this.player?.pause();
    try {
      this.asking = true;
      this.recording = await startRecording().finally(() => (this.asking = false));
      this.showRecording();
      const file = await this.recording.file;
      this.recording = null;
      this.showRecording();
      await this.take(file);
    } catch (error) {
      this.task.show(error);
    }
  }

  private showRecording(): void {
    const button = byId("record", HTMLButtonElement);
    button.setAttribute("aria-pressed", String(this.recording !== null));
    button.textContent = this.recording ? "Stop" : "Record";
  }

  private async takeSpeech(): Promise<void> {
    try {
      const answer = await fetch(SPEECH_URL);
      await this.take(new File([await answer.blob()], "speech.flac", { type: "audio/flac" }));
    } catch (error) {
      if (!isAbort(error)) this.task.show(error);
    }
  }

  onKey(key: string): boolean {
    return this.transport.onKey(key);
  }

  /** When another tab is shown. */
  leave(): void {
    this.player?.pause();
  }

  /** When the colours have changed. */
  redraw(): void {
    void this.view.draw();
    this.curve.draw();
  }
}

function costs(clip: File, ecdc: File, answer: Answer, model: Model): [string, string][] {
  const seconds = Number(answer.header("X-Audio-Duration"));
  const plain = seconds * model.sample_rate * model.channels * 2;
  return [
    ["Original file", formatBytes(clip.size)],
    ["Length", formatTime(seconds, 2)],
    ["Smaller than 16-bit PCM", `${(plain / ecdc.size).toFixed(0)} times`],
    ["Weights", answer.header("X-Encodec-Weights") ?? ""],
    ["Coded in", `${formatSeconds(answer.seconds)}, ${(seconds / answer.seconds).toFixed(0)} × real time`],
  ];
}
