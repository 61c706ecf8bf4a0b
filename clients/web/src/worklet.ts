import type { Control, FromWorklet, Report, Seek, ToWorklet } from "./messages.js";
import type { PlainError } from "./errors.js";

declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: unknown): void;

const SECONDS = 16; // of the ring; more than the worker sends ahead, and a block
const REPORTS = 20; // a second
const ENOUGH = 0.1; // s, from which it goes on after it had to wait

/** Plays what the worker sends, from a ring. Between other rates it interpolates with a windowed
 * sinc of `TAPS` samples either way. */
const TAPS = 16;
const PHASES = 512;

class Player extends AudioWorkletProcessor {
  private source: MessagePort | null = null;
  private rate = sampleRate;
  private ring: Float32Array[] = [];
  private size = 0;
  private run = 0;
  private start = 0; // sample of the file at `read` 0
  private written = 0;
  private read = 0; // may be between two samples
  private told = 0; // of `read`, to the worker
  private ended = false;
  private quantum = 128; // samples of a call
  private playing = false;
  private waiting = true;
  private open = true;
  private error: PlainError | undefined;
  private sinceReport = 0;
  private kernel: Float32Array[] = [];

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<Control>) => this.control(data);
  }

  private control(message: Control): void {
    if ("port" in message) {
      this.source = message.port;
      this.rate = message.rate;
      this.kernel = this.rate === sampleRate ? [] : kernels(Math.min(1, sampleRate / this.rate));
      this.source.onmessage = ({ data }: MessageEvent<ToWorklet>) => this.take(data);
    } else if ("playing" in message) {
      this.playing = message.playing;
      this.report();
    } else if ("run" in message) {
      this.run = message.run;
      this.start = message.from;
      this.written = this.read = this.told = 0;
      this.ended = false;
      this.waiting = true;
      this.error = undefined;
      this.source?.postMessage({ run: message.run, from: message.from } satisfies Seek);
      this.report();
    } else {
      this.open = false;
      this.source?.close();
    }
  }

  private take(message: ToWorklet): void {
    if (message.run !== this.run) return;
    if ("error" in message) this.error = message.error;
    if ("ended" in message) this.ended = true;
    if (!("channels" in message)) {
      this.settle();
      return this.report();
    }
    const { channels } = message;
    if (this.ring.length !== channels.length) {
      this.size = SECONDS * this.rate;
      this.ring = channels.map(() => new Float32Array(this.size));
    }
    channels.forEach((channel, c) => {
      const ring = this.ring[c]!;
      const at = this.written % this.size;
      const some = Math.min(channel.length, this.size - at);
      ring.set(channel.subarray(0, some), at);
      ring.set(channel.subarray(some), 0);
    });
    this.written += channels[0]!.length;
    if (this.waiting && !this.settle()) this.report();
  }

  /** Whether it has to wait for samples. */
  private settle(): boolean {
    const here = this.written - this.read;
    const least = this.quantum * (this.rate / sampleRate) + (this.kernel.length ? TAPS : 0) + 1;
    if (this.ended || here >= least + ENOUGH * this.rate) this.waiting = false;
    else if (here < least) this.waiting = true;
    return this.waiting;
  }

  process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const output = outputs[0]!;
    const count = output[0]!.length;
    this.quantum = count;
    const step = this.rate / sampleRate;
    const before = this.state;
    const waited = this.waiting;
    this.settle();
    if (this.playing && !this.waiting && this.ring.length) {
      // A mono file goes to all channels of the output.
      output.forEach((channel, c) => {
        this.fill(channel, this.ring[Math.min(c, this.ring.length - 1)]!, step);
      });
      this.read = Math.min(this.written, this.read + count * step);
    }
    const taken = Math.floor(this.read) - this.told;
    if (taken >= this.rate / REPORTS || (taken && this.ended)) {
      this.source?.postMessage({ run: this.run, taken } satisfies FromWorklet);
      this.told += taken;
    }
    this.sinceReport += count;
    if (this.state !== before || this.waiting !== waited || this.sinceReport * REPORTS >= sampleRate) this.report();
    return this.open;
  }

  private fill(output: Float32Array, ring: Float32Array, step: number): void {
    const { size, written } = this;
    if (!this.kernel.length) {
      const some = Math.max(0, Math.min(output.length, written - this.read));
      for (let i = 0; i < some; i++) output[i] = ring[(this.read + i) % size]!;
      return;
    }
    for (let i = 0; i < output.length; i++) {
      const place = this.read + i * step;
      if (place >= written) break;
      const whole = Math.floor(place);
      const weights = this.kernel[Math.round((place - whole) * PHASES)]!;
      let sum = 0;
      for (let k = 0; k < 2 * TAPS; k++) {
        const at = whole + k - TAPS + 1;
        if (at >= 0 && at < written) sum += ring[at % size]! * weights[k]!;
      }
      output[i] = sum;
    }
  }

  private get state(): Report["state"] {
    if (this.ended && this.read >= this.written) return "ended";
    if (!this.playing) return "paused";
    return this.waiting ? "waiting" : "playing";
  }

  private report(): void {
    this.sinceReport = 0;
    const { run, error, state, waiting } = this;
    const place = this.start + Math.floor(this.read);
    this.port.postMessage({ run, place, state, error, ready: !waiting } satisfies Report);
  }
}

/** For each phase the weights of the samples around, of a sinc that lets `cut` of the band pass. */
function kernels(cut: number): Float32Array[] {
  return Array.from({ length: PHASES + 1 }, (_, phase) => {
    const weights = new Float32Array(2 * TAPS).map((_, k) => {
      const x = k - TAPS + 1 - phase / PHASES;
      const window = Math.cos((Math.PI * x) / (2 * TAPS)) ** 2;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cut * x) / (Math.PI * cut * x);
      return Math.abs(x) < TAPS ? cut * sinc * window : 0;
    });
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / sum);
  });
}

registerProcessor("encodec-player", Player);
