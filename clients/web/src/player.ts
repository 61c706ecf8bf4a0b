import { assetsOf, type EncodecFile } from "./client.js";
import { EncodecError } from "./errors.js";
import type { Control, Report } from "./messages.js";

export interface PlayerOptions {
  /** Without one, a context is made at the file's rate, and closed with the player. With one of
   * another rate the samples are resampled. */
  context?: BaseAudioContext;
  /** Folder of `worklet.js`; default: that of the decoder. */
  assets?: string | URL;
  /** Where to begin, in seconds. */
  start?: number;
}

/** Plays an open file through an AudioWorklet, decoding some seconds ahead. Dispatches
 * `statechange`, `ended` and `error` (a `CustomEvent` whose `detail` is the `EncodecError`). */
export class EncodecPlayer extends EventTarget {
  state: Report["state"] = "paused";
  private run = 0;
  private place = 0;
  private reported = 0; // the context's time then
  private arrivals: (() => void)[] = [];

  private constructor(
    readonly context: BaseAudioContext,
    /** The output; connected to the destination where `create` was given no context. */
    readonly node: AudioWorkletNode,
    private readonly file: EncodecFile,
    private readonly own: boolean,
  ) {
    super();
    node.port.onmessage = ({ data }: MessageEvent<Report>) => this.hear(data);
    node.onprocessorerror = () => {
      this.fail(new EncodecError("engine_failed", "the audio worklet has failed"));
    };
  }

  static async create(file: EncodecFile, options: PlayerOptions = {}): Promise<EncodecPlayer> {
    const { sampleRate, channels } = file.info;
    if (typeof AudioWorkletNode !== "function")
      throw new EncodecError("unsupported_browser", "there is no AudioWorklet here");
    const context = options.context ?? new AudioContext({ sampleRate, latencyHint: "playback" });
    const assets = options.assets ? assetsOf(options.assets) : file.client.assets;
    await context.audioWorklet.addModule(new URL("worklet.js", assets).href);
    const node = new AudioWorkletNode(context, "encodec-player", {
      numberOfInputs: 0,
      outputChannelCount: [channels],
    });
    const player = new EncodecPlayer(context, node, file, !options.context);
    if (!options.context) node.connect(context.destination);
    const { port1, port2 } = new MessageChannel();
    await file.client.ask({ ask: "play", file: file.number, port: port1 }, [port1]);
    player.send({ port: port2, rate: sampleRate }, [port2]);
    player.begin(options.start ?? 0);
    return player;
  }

  get duration(): number {
    return this.file.info.duration;
  }

  /** Seconds: what is heard now, but for the latency of the output. */
  get currentTime(): number {
    const since = this.state === "playing" ? this.context.currentTime - this.reported : 0;
    return Math.min(this.duration, this.place / this.file.info.sampleRate + since);
  }

  async play(): Promise<void> {
    if (this.state === "ended") this.begin(0);
    this.send({ playing: true });
    if (this.context instanceof AudioContext) await this.context.resume();
  }

  pause(): void {
    this.send({ playing: false });
  }

  /** Resolves when the samples there are decoded and, if it was playing, are heard. */
  seek(seconds: number): Promise<void> {
    this.begin(seconds);
    return new Promise((resolve) => this.arrivals.push(resolve));
  }

  async close(): Promise<void> {
    this.send({ close: true });
    this.node.disconnect();
    if (this.own && this.context instanceof AudioContext) await this.context.close();
  }

  private begin(seconds: number): void {
    const { samples, sampleRate } = this.file.info;
    const from = Math.round(Math.max(0, Math.min(samples - 1, seconds * sampleRate)));
    this.place = from;
    this.send({ run: ++this.run, from });
  }

  private send(control: Control, transfer: Transferable[] = []): void {
    this.node.port.postMessage(control, transfer);
  }

  private hear({ run, place, state, error, ready }: Report): void {
    if (run !== this.run) return;
    this.place = place;
    this.reported = this.context.currentTime;
    if (error) return this.fail(EncodecError.fromPlain(error));
    if (ready || state === "ended") for (const arrived of this.arrivals.splice(0)) arrived();
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("statechange"));
    if (state === "ended") this.dispatchEvent(new Event("ended"));
  }

  private fail(error: EncodecError): void {
    for (const arrived of this.arrivals.splice(0)) arrived();
    this.state = "paused";
    this.dispatchEvent(new CustomEvent("error", { detail: error }));
  }
}
