/** In the audio thread: the microphone's samples out, and a live stream's samples in. */

/** Of `AudioWorkletGlobalScope`, which TypeScript does not know. */
declare const sampleRate: number;
declare function registerProcessor(name: string, processor: unknown): void;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

const BLOCK = 0.02; // s that the microphone gives at once
const TARGET = 0.12; // s that are held before a stream is heard
const MOST = 0.5; // s; what is held beyond that is skipped
const REPORT = 0.1; // s between reports

/** Posts the samples of the microphone, mono, in blocks of 20 ms. */
class Capture extends AudioWorkletProcessor {
  private readonly size = Math.round(BLOCK * sampleRate);
  private block = new Float32Array(this.size);
  private filled = 0;

  process([input]: Float32Array[][]): boolean {
    const [left, right] = input ?? [];
    if (!left) return true;
    for (let i = 0; i < left.length; i++) {
      this.block[this.filled++] = right ? (left[i]! + right[i]!) / 2 : left[i]!;
      if (this.filled === this.size) {
        this.port.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(this.size);
        this.filled = 0;
      }
    }
    return true;
  }
}

/** Plays the samples that are posted to it, after a short wait; silent where none are there. A
 * null is the end of them. */
class Playback extends AudioWorkletProcessor {
  private blocks: Float32Array[] = [];
  private first = 0; // samples of the first block that were played
  private held = 0;
  private waits = true;
  private sinceReport = 0;
  private peak = 0;
  private gaps = 0;
  private ended = false; // no more samples come

  constructor() {
    super();
    this.port.onmessage = ({ data }: MessageEvent<Float32Array | null>) => {
      if (!data) return void (this.ended = true);
      this.blocks.push(data);
      this.held += data.length;
      if (this.held > MOST * sampleRate) this.skip(this.held - TARGET * sampleRate);
    };
  }

  process(_: Float32Array[][], [output]: Float32Array[][]): boolean {
    const [channel] = output!;
    if (this.ended ? this.held : this.held >= TARGET * sampleRate) this.waits = false;
    for (let i = 0; i < channel!.length; i++) {
      const sample = this.waits ? 0 : this.next();
      for (const each of output!) each[i] = sample;
      this.peak = Math.max(this.peak, Math.abs(sample));
    }
    this.sinceReport += channel!.length;
    if (this.sinceReport >= REPORT * sampleRate) {
      const done = this.ended && !this.held;
      this.port.postMessage({ held: this.held / sampleRate, peak: this.peak, gaps: this.gaps, done });
      this.sinceReport = this.peak = 0;
    }
    return true;
  }

  private next(): number {
    const block = this.blocks[0];
    if (!block) {
      this.waits = true;
      this.gaps++;
      return 0;
    }
    const sample = block[this.first++]!;
    this.held--;
    if (this.first === block.length) {
      this.blocks.shift();
      this.first = 0;
    }
    return sample;
  }

  private skip(count: number): void {
    for (let i = 0; i < count; i++) this.next();
  }
}

registerProcessor("capture", Capture);
registerProcessor("playback", Playback);
