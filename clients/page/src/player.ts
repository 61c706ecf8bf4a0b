/** Plays several tracks in step, of which one is heard: switching is a crossfade of gains.
 *
 * Every track is scheduled on the context's clock, sample for sample beside the others, and comes in
 * parts. While the part that should be heard is missing, the clock is stopped for all of them.
 */

import { RATE } from "./audio";

/** Samples of a track from `start` to `end`, in seconds. */
export interface Part {
  buffer: AudioBuffer;
  start: number;
  end: number;
}

/** Something that can be heard. */
export interface Track {
  /** The part in which the second `at` lies; parts are as long as the track likes. */
  part(at: number, signal: AbortSignal): Promise<Part>;
}

/** `waiting`: for a part that is still to come. */
export type PlayerState = "paused" | "waiting" | "playing";

interface Lane {
  track: Track;
  gain: GainNode;
  /** Second up to which parts are scheduled. */
  until: number;
}

const CROSSFADE = 0.015; // s
const LEAD = 0.03; // s, from the order to start to the first sample
const AHEAD = 12; // s that are scheduled ahead
const TICK = 50; // ms
const SHORTEST = 0.15; // s ahead of which the clock is stopped where nothing is scheduled

/** Dispatches `change` when its state, the track that is heard or its position changes other than
 * by playing, and `failed` (a CustomEvent with the error) when a part cannot be had. */
export class Player extends EventTarget {
  readonly context = new AudioContext({ sampleRate: RATE });
  /** What is heard; connected to the loudspeakers. */
  readonly output = this.context.createGain();
  state: PlayerState = "paused";
  private readonly lanes = new Map<string, Lane>();
  private sources = new Set<AudioBufferSourceNode>();
  private stopped = new AbortController();
  private heard = "";
  private position = 0; // s, where the clock is not bound to a position
  private origin: number | null = null; // s of the context's clock at which second 0 would play
  private readonly timer = setInterval(() => this.tick(), TICK);

  constructor(public duration: number) {
    super();
    this.output.connect(this.context.destination);
  }

  /** Seconds; what is heard now. */
  get time(): number {
    const now = this.origin === null ? this.position : this.context.currentTime - this.origin;
    return Math.min(Math.max(now, 0), this.duration);
  }

  /** The id of the track that is heard. */
  get selected(): string {
    return this.heard;
  }

  /** Add a track, or put it in place of the one with this id. */
  setTrack(id: string, track: Track): void {
    const before = this.lanes.get(id);
    const gain = before?.gain ?? this.context.createGain();
    if (!before) {
      gain.gain.value = 0;
      gain.connect(this.output);
    }
    this.lanes.set(id, { track, gain, until: 0 });
    if (!this.heard) this.select(id);
    if (this.state !== "paused") void this.start(this.time);
    else this.forget(this.time);
  }

  removeTrack(id: string): void {
    this.lanes.get(id)?.gain.disconnect();
    this.lanes.delete(id);
    if (this.heard !== id) return;
    this.heard = "";
    for (const other of [...this.lanes.keys()].slice(0, 1)) this.select(other);
  }

  /** Without tracks, at the start. */
  clear(): void {
    this.pause();
    this.forget(0);
    for (const id of [...this.lanes.keys()]) this.removeTrack(id);
  }

  /** Hear another track from this moment on. */
  select(id: string): void {
    const lane = this.lanes.get(id);
    if (!lane) return;
    this.heard = id;
    const now = this.context.currentTime;
    for (const [name, { gain }] of this.lanes) {
      const level = gain.gain.value;
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(level, now);
      gain.gain.linearRampToValueAtTime(name === id ? 1 : 0, now + CROSSFADE);
    }
    this.changed();
  }

  async play(): Promise<void> {
    if (this.state !== "paused" || !this.lanes.size) return;
    if (this.time >= this.duration - 0.01) this.forget(0);
    if (this.origin === null) {
      void this.context.resume(); // within the user's gesture, as some browsers ask
      return this.start(this.position);
    }
    this.become("playing");
    await this.context.resume();
  }

  pause(): void {
    if (this.origin === null) this.forget(this.position); // whatever is waited for
    this.become("paused");
    void this.context.suspend();
  }

  /** Go on at another second. */
  seek(seconds: number): void {
    const to = Math.min(Math.max(seconds, 0), this.duration);
    if (this.state === "paused") this.forget(to);
    else void this.start(to);
    this.changed();
  }

  /** Free everything; the player is of no use afterwards. */
  close(): void {
    clearInterval(this.timer);
    this.stopped.abort();
    void this.context.close();
  }

  /** Drop what is scheduled, and stand at `seconds`. */
  private forget(seconds: number): void {
    this.stopped.abort();
    this.stopped = new AbortController();
    for (const source of this.sources) {
      source.stop();
      source.disconnect();
    }
    this.sources = new Set();
    this.position = seconds;
    this.origin = null;
    for (const lane of this.lanes.values()) lane.until = seconds;
  }

  private async start(seconds: number): Promise<void> {
    this.forget(seconds);
    this.become("waiting");
    const { signal } = this.stopped;
    const lane = this.lanes.get(this.heard);
    if (!lane) return;
    try {
      const first = await lane.track.part(seconds, signal);
      if (signal.aborted) return;
      await this.context.resume();
      if (signal.aborted) return;
      // On whole samples, so that tracks that join later are in step to the sample.
      this.origin = (Math.ceil((this.context.currentTime + LEAD) * RATE) - Math.round(seconds * RATE)) / RATE;
      this.schedule(lane, first);
      this.become("playing");
      for (const other of this.lanes.values()) void this.feed(other, signal);
    } catch (error) {
      this.fail(error, signal);
    }
  }

  /** Schedule the parts of a track as they come, not too far ahead. */
  private async feed(lane: Lane, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted && lane.until < this.duration - 1e-6) {
        if (lane.until > this.time + AHEAD) {
          await new Promise((resolve) => setTimeout(resolve, 4 * TICK));
          continue;
        }
        const at = Math.max(lane.until, Math.min(this.time, this.duration - 1e-3));
        const part = await lane.track.part(at, signal);
        if (signal.aborted) return;
        this.schedule(lane, part);
        if (this.state === "waiting" && lane === this.lanes.get(this.heard)) {
          this.become("playing");
          await this.context.resume();
        }
      }
    } catch (error) {
      this.fail(error, signal);
    }
  }

  private schedule(lane: Lane, { buffer, start, end }: Part): void {
    const origin = Math.round(this.origin! * RATE);
    const startFrame = Math.round(start * RATE);
    const soonest = Math.ceil((this.context.currentTime + LEAD / 2) * RATE) - origin;
    const from = Math.max(startFrame, Math.round(lane.until * RATE), soonest);
    lane.until = end;
    if (from - startFrame >= buffer.length) return;
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(lane.gain);
    source.start((origin + from) / RATE, (from - startFrame) / RATE);
    source.onended = () => this.sources.delete(source);
    this.sources.add(source);
  }

  private tick(): void {
    if (this.state !== "playing" || this.origin === null) return;
    const lane = this.lanes.get(this.heard);
    if (this.time >= this.duration) {
      this.forget(this.duration);
      this.pause();
    } else if (lane && lane.until < this.duration - 1e-6 && lane.until - this.time < SHORTEST) {
      this.become("waiting");
      void this.context.suspend();
    }
  }

  private fail(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.forget(this.time);
    this.pause();
    this.dispatchEvent(new CustomEvent("failed", { detail: error }));
  }

  private become(state: PlayerState): void {
    this.state = state;
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
