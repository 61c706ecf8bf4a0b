/** The tab that opens an `.ecdc` file: what it says, hearing and seeking in it part by part, and
 * peeling it to a lower rate. */

import { Problem, parse, post, type CallOptions } from "./api";
import type { Channels } from "./audio";
import { RATE } from "./audio";
import type { Decoding } from "./codec";
import { byId, chosenRadio, element, fillFacts, fillRadios, formatBytes, formatTime, renamed } from "./dom";
import { offerDownloads } from "./downloads";
import type { Model } from "./models";
import { Overview } from "./overview";
import { Player } from "./player";
import { Task } from "./task";
import { decodedTrack } from "./tracks";
import { Transport } from "./transport";

/** What `/inspect` says, as far as it is shown. */
interface Inspection {
  version: number;
  model: string;
  weights: string;
  weights_available: boolean;
  duration_seconds: number;
  sample_rate: number;
  channels: number;
  codebooks: number;
  bandwidth_kbps: number;
  kbps: number;
  lm: boolean;
  intact: boolean | null;
  note: string | null;
  chunks: number | null;
  original: { sample_rate: number | null; channels: number | null; name: string | null } | null;
  tags: [string, string][] | null;
}

/** A number of channels, as people say it. */
const named = (channels: number | null) => (channels === null ? "?" : (["", "mono", "stereo"][channels] ?? `${channels} channels`));

/** `X-Encodec-Salvaged`, as people say it: `lost=1.013;gaps=2;end=unknown`. */
function lossOf(said: string | null): string {
  const [, lost, gaps] = /^lost=([\d.]+);gaps=(\d+)/.exec(said ?? "") ?? [];
  const places = Number(gaps) ? [`${Number(lost).toFixed(2)} s, in ${gaps} ${gaps === "1" ? "place" : "places"}`] : [];
  if (said?.includes("end=unknown")) places.push("the end");
  return places.join(", and ") || "nothing";
}

const DAMAGE = ["broken_ecdc", "truncated_ecdc"];

export class FileTab {
  private readonly transport = new Transport(byId("file-transport", HTMLElement), (seconds) => this.overview.setTime(seconds));
  private readonly overview = new Overview(byId("overview", HTMLCanvasElement), (seconds) => this.player?.seek(seconds));
  private readonly task: Task;
  /** Of the downloads, which go on while the file is peeled. */
  private readonly saving: Task;
  private models: Model[] = [];
  private player: Player | null = null;
  private file: File | null = null;
  private info: Inspection | null = null;
  private peeled: { file: File; kbps: number } | null = null;
  private salvages = false;
  private ahead = new AbortController();

  constructor(
    onKeyNeeded: () => void,
    private readonly decoding: Decoding,
  ) {
    decoding.show(byId("file-decode", HTMLFieldSetElement), () => this.decodeAnew());
    this.task = new Task(byId("file-progress", HTMLElement), byId("file-problem", HTMLElement), onKeyNeeded);
    this.saving = new Task(byId("file-saving-progress", HTMLElement), byId("file-saving-problem", HTMLElement), onKeyNeeded);
    const input = byId("ecdc-file", HTMLInputElement);
    byId("choose-ecdc", HTMLButtonElement).onclick = () => input.click();
    input.onchange = () => {
      if (input.files?.[0]) void this.open(input.files[0]);
      input.value = "";
    };
    byId("peel-form", HTMLFormElement).onchange = () => void this.peel();
  }

  offer(models: Model[]): void {
    const first = !this.models.length;
    this.models = models;
    if (first && this.info) this.offerPeeling(this.info);
  }

  /** Inspect a file, and make it ready to be heard. */
  async open(file: File): Promise<void> {
    this.player?.clear();
    this.ahead.abort();
    this.saving.clear();
    this.file = this.info = this.peeled = null;
    byId("opened", HTMLElement).hidden = true;
    byId("file-drop", HTMLElement).classList.add("filled");
    byId("file-title", HTMLElement).textContent = file.name;
    byId("file-hint", HTMLElement).textContent = formatBytes(file.size);
    await this.task.run(async ({ call, signal }) => {
      const info = parse<Inspection>(await post("inspect", {}, file, call("Sending", "Inspecting")));
      const damaged = info.intact === false;
      let [lost, failure]: [string | null, unknown] = [null, null];
      try {
        if (damaged) lost = await this.salvageable(file, info, call("Sending", "Looking for what is intact"));
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error; // said when the rest is shown
      }
      [this.file, this.info, this.salvages] = [file, info, damaged];
      this.showFacts(file, info, lost);
      this.listen();
      this.offerPeeling(info);
      byId("opened", HTMLElement).hidden = false;
      this.overview.redraw();
      if (failure) throw failure;
    });
  }

  /** Of a damaged file: gives it the length and the rate that it has with what comes after the
   * damage, which the service finds; returns what is lost. Throws `Problem`. */
  private async salvageable(file: File, info: Inspection, options: CallOptions): Promise<string | null> {
    if (info.version === 0) return null; // its header says how long it is
    const { header } = await post("decompress", { salvage: true, output: "f32" }, file, { ...options, headersOnly: true });
    info.duration_seconds = Number(header("X-Audio-Duration"));
    info.kbps = Number(header("X-Compressed-Kbps"));
    info.chunks = null; // those after the damage are not counted
    return lossOf(header("X-Encodec-Salvaged"));
  }

  private showFacts(file: File, info: Inspection, lost: string | null): void {
    const { original } = info;
    const facts: [string, string][] = [
      ["Length", formatTime(info.duration_seconds, 2)],
      ["Size", `${formatBytes(file.size)}, ${info.kbps.toFixed(2)} kbps`],
      ["Model", info.model],
      ["Weights", info.weights + (info.weights_available ? "" : ", not here")],
      ["Bandwidth", `${info.bandwidth_kbps} kbps, ${info.codebooks} codebooks`],
      ["Entropy coding", info.lm ? "language model" : "none"],
      ["Format", `version ${info.version}${info.chunks ? `, ${info.chunks} chunks` : ""}`],
      ["Intact", info.intact === null ? "only decoding would tell" : info.intact ? "yes" : "no"],
    ];
    if (lost) facts.push(["Lost", lost]);
    if (original?.name) facts.push(["Made from", original.name]);
    if (original?.sample_rate) facts.push(["Recorded at", `${original.sample_rate} Hz, ${named(original.channels)}`]);
    facts.push(...(info.tags ?? []));
    fillFacts(byId("file-facts", HTMLDListElement), facts);
    const note = byId("file-note", HTMLElement);
    note.hidden = !info.note;
    note.textContent = info.note + (this.salvages ? ". What is intact can be heard; what is lost is silent." : "");
    offerDownloads(byId("file-downloads", HTMLElement), this.saving, file, file.name, this.salvages);
  }

  /** Make the file ready to be heard, from its start. */
  private listen(): void {
    const { file, info, salvages } = this;
    if (!file || !info) return;
    const player = this.player ?? this.newPlayer();
    player.pause();
    player.removeTrack("peeled");
    player.duration = info.duration_seconds;
    const seconds = this.decoding.partSeconds(file);
    this.overview.reset(info.duration_seconds);
    const heard = (start: number, channels: Channels) => this.overview.add(start, channels[0]!, RATE);
    const track = decodedTrack(this.decoding.parts(file, info.channels, salvages), info.duration_seconds, seconds, heard);
    // The first part at once: there is something to see, and the first sound does not wait. What
    // goes wrong is said when it is played.
    this.ahead.abort();
    this.ahead = new AbortController();
    track.part(0, this.ahead.signal).catch(() => {});
    player.setTrack("file", track);
    player.seek(0);
    this.transport.offer([this.choiceOf("file", info.bandwidth_kbps, "A")]);
    this.transport.attach(player);
    const text = `Decoded in parts of ${seconds} s, where you listen; the picture fills as they come.`;
    byId("overview-hint", HTMLElement).textContent = text;
  }

  /** From where it is heard now. */
  private decodeAnew(): void {
    const { player } = this;
    if (!player) return;
    const { time, selected, state } = player;
    this.listen();
    this.hearPeeled();
    player.select(selected);
    player.seek(time);
    if (state !== "paused") void player.play();
  }

  private newPlayer(): Player {
    const player = (this.player = new Player(0));
    player.addEventListener("failed", (event) => {
      const error: unknown = (event as CustomEvent).detail;
      this.task.show(error, () => void player.play());
      if (error instanceof Problem && DAMAGE.includes(error.code) && !this.salvages) this.offerSalvage();
    });
    return player;
  }

  /** A button on the problem that decodes what is intact. */
  private offerSalvage(): void {
    const onclick = () => {
      byId("file-problem", HTMLElement).replaceChildren();
      this.salvages = true;
      this.listen();
      void this.player?.play();
    };
    const button = element("button", { type: "button", textContent: "Hear what is intact", onclick });
    byId("file-problem", HTMLElement).querySelector(".row")?.prepend(button);
  }

  private choiceOf(id: string, kbps: number, key: string): { id: string; label: string; key: string } {
    return { id, label: `${kbps} kbps`, key };
  }

  /** Offer the bandwidths below that of the file. */
  private offerPeeling(info: Inspection): void {
    const rates = this.models.find(({ name }) => name === info.model)?.bandwidths ?? [];
    const lower = rates.filter(({ kbps }) => kbps < info.bandwidth_kbps);
    const options = lower.map(({ kbps }) => ({ value: String(kbps), label: String(kbps) }));
    fillRadios(byId("peel", HTMLFieldSetElement), "peel", options, "");
    byId("peel", HTMLFieldSetElement).hidden = !lower.length;
    byId("peel-facts", HTMLDListElement).hidden = true;
    const row = byId("peel-downloads", HTMLElement);
    row.replaceChildren(lower.length || !rates.length ? "" : "It has the lowest rate already.");
  }

  /** Make a file of the chosen rate, to be heard beside this one. */
  private async peel(): Promise<void> {
    const { file, info, player } = this;
    const bandwidth = chosenRadio(byId("peel", HTMLFieldSetElement));
    if (!file || !info || !player || !bandwidth) return;
    await this.task.run(async ({ call, signal }) => {
      const answer = await post("transcode", { bandwidth }, file, call("Sending", "Peeling"));
      if (signal.aborted) return;
      const peeled = new File([answer.data], renamed(file.name, `-${bandwidth}kbps.ecdc`));
      this.peeled = { file: peeled, kbps: Number(bandwidth) };
      this.hearPeeled();
      player.select("peeled");
      fillFacts(byId("peel-facts", HTMLDListElement), [
        ["Size", formatBytes(peeled.size)],
        ["Of this file", `${((100 * peeled.size) / file.size).toFixed(0)} %`],
      ]);
      byId("peel-facts", HTMLDListElement).hidden = false;
      offerDownloads(byId("peel-downloads", HTMLElement), this.saving, peeled, peeled.name);
    });
  }

  /** Make the peeled file, where there is one, ready to be heard beside this one. */
  private hearPeeled(): void {
    const { info, player, peeled } = this;
    if (!info || !player || !peeled) return;
    const decode = this.decoding.parts(peeled.file, info.channels);
    player.setTrack("peeled", decodedTrack(decode, info.duration_seconds, this.decoding.partSeconds(peeled.file)));
    this.transport.offer([this.choiceOf("file", info.bandwidth_kbps, "A"), this.choiceOf("peeled", peeled.kbps, "B")]);
  }

  onKey(key: string): boolean {
    return this.transport.onKey(key);
  }

  /** When another tab is shown. */
  leave(): void {
    this.player?.pause();
  }

  /** When the colours have changed, or the tab is shown. */
  redraw(): void {
    this.overview.redraw();
  }
}
