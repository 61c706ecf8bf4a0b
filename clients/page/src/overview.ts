/** The waveform of a file, as far as it has been decoded. */

import { drawEnvelope, prepare } from "./drawing";

const COLUMNS = 1000;

export class Overview {
  private envelope = new Float32Array(2 * COLUMNS);
  private duration = 0;
  private time = 0;
  private drawn: ImageBitmap | null = null;
  private peak = 0;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    onSeek: (seconds: number) => void,
  ) {
    const seek = (event: PointerEvent) => {
      const { left, width } = canvas.getBoundingClientRect();
      onSeek(((event.clientX - left) / width) * this.duration);
    };
    canvas.addEventListener("pointerdown", seek);
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  /** Begin with nothing, of a file of so many seconds. */
  reset(duration: number): void {
    this.duration = duration;
    this.envelope.fill(0);
    this.peak = 0;
    this.redraw();
  }

  /** Add samples from the second `start` on. */
  add(start: number, samples: Float32Array, rate: number): void {
    for (let i = 0; i < samples.length; i++) {
      const x = Math.min(COLUMNS - 1, Math.floor(((start + i / rate) / this.duration) * COLUMNS));
      const sample = samples[i]!;
      if (sample < this.envelope[2 * x]!) this.envelope[2 * x] = sample;
      if (sample > this.envelope[2 * x + 1]!) this.envelope[2 * x + 1] = sample;
      this.peak = Math.max(this.peak, Math.abs(sample));
    }
    this.redraw();
  }

  setTime(seconds: number): void {
    this.time = seconds;
    this.draw();
  }

  /** After a change of size or colours too. */
  redraw(): void {
    if (!this.canvas.clientWidth) return;
    drawEnvelope(this.canvas, { envelope: this.envelope, spectrum: new Uint8Array() }, this.peak);
    void createImageBitmap(this.canvas).then((bitmap) => {
      this.drawn = bitmap;
      this.draw();
    });
  }

  private draw(): void {
    if (!this.drawn || !this.duration || !this.canvas.clientWidth) return;
    const { context, width, height } = prepare(this.canvas);
    context.drawImage(this.drawn, 0, 0, width, height);
    context.fillStyle = getComputedStyle(document.body).color;
    context.fillRect((this.time / this.duration) * width - 1, 0, 2, height);
  }
}
