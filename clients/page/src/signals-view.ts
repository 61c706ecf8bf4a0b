/** Waveforms and spectrograms of original, decoded and difference, one above the other, with one
 * time axis and one playhead. */

import type { Analyst } from "./analyst";
import { RATE } from "./audio";
import { element } from "./dom";
import { drawAxis, drawEnvelope, drawSpectrum } from "./drawing";

const SIGNALS = ["Original", "Decoded", "Difference"];
const MOST_COLUMNS = 1100;
const ROWS = 104;
const CLOSEST = 0.5; // s that the view shows at least

export class SignalsView {
  private readonly rows: { box: HTMLElement; wave: HTMLCanvasElement; spectrum: HTMLCanvasElement }[];
  private readonly axis = element("canvas", { className: "axis" });
  private readonly playhead = element("div", { className: "playhead", hidden: true });
  private readonly pictures = element("div", { className: "signals" });
  private duration = 0;
  private from = 0;
  private to = 0;
  private time = 0;
  private drawing = 0;

  constructor(
    root: HTMLElement,
    private readonly analyst: Analyst,
    private readonly onSeek: (seconds: number) => void,
  ) {
    this.rows = SIGNALS.map((name) => {
      const wave = element("canvas", { className: "wave" });
      const spectrum = element("canvas", { className: "spectrum" });
      wave.setAttribute("role", "img");
      wave.setAttribute("aria-label", `Waveform: ${name}`);
      spectrum.setAttribute("role", "img");
      spectrum.setAttribute("aria-label", `Spectrogram: ${name}`);
      const box = element("div", { className: "signal", hidden: true }, element("h3", { textContent: name }), wave, spectrum);
      box.dataset.signal = name.toLowerCase();
      return { box, wave, spectrum };
    });
    this.axis.setAttribute("aria-hidden", "true");
    this.pictures.append(...this.rows.map(({ box }) => box), this.axis, this.playhead);
    const zoom = (label: string, text: string, factor: number) =>
      element("button", { type: "button", className: "quiet", textContent: text, title: label, ariaLabel: label, onclick: () => this.zoom(factor) });
    root.append(
      this.pictures,
      element("div", { className: "views-tools" }, zoom("Zoom out", "−", 2), zoom("Zoom in", "+", 0.5), zoom("Show all", "All", Infinity)),
    );
    const seek = (event: PointerEvent) => {
      const { left, width } = this.pictures.getBoundingClientRect();
      this.onSeek(this.from + ((event.clientX - left) / width) * (this.to - this.from));
    };
    this.pictures.addEventListener("pointerdown", seek);
    this.pictures.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) seek(event);
    });
    new ResizeObserver(() => void this.draw()).observe(this.pictures);
  }

  /** Show what the analyst has, which is `duration` seconds long. */
  show(duration: number): void {
    if (duration !== this.duration) [this.duration, this.from, this.to] = [duration, 0, duration];
    for (const { box } of this.rows) box.hidden = false;
    void this.draw();
  }

  clear(): void {
    this.duration = 0;
    this.drawing++;
    for (const { box } of this.rows) box.hidden = true;
    this.playhead.hidden = true;
  }

  /** Where the playhead stands; the view follows it. */
  setTime(seconds: number): void {
    this.time = seconds;
    const width = this.to - this.from;
    if (width > 0 && (seconds < this.from || seconds > this.to)) {
      this.from = Math.max(0, Math.min(seconds - 0.05 * width, this.duration - width));
      this.to = this.from + width;
      void this.draw();
    }
    const share = width > 0 ? (seconds - this.from) / (this.to - this.from) : 0;
    this.playhead.style.transform = `translateX(${share * this.pictures.clientWidth}px)`;
  }

  private zoom(factor: number): void {
    const width = Math.min(this.duration, Math.max(CLOSEST, (this.to - this.from) * factor));
    this.from = Math.max(0, Math.min(this.time - width / 2, this.duration - width));
    this.to = this.from + width;
    void this.draw();
  }

  /** Draw anew: after a change of what is shown, of the size or of the colours. */
  async draw(): Promise<void> {
    const width = this.pictures.clientWidth;
    if (!this.duration || !width) return;
    const drawing = ++this.drawing;
    const columns = Math.min(MOST_COLUMNS, Math.round(width));
    const found = await this.analyst.ask({
      kind: "pictures",
      from: Math.round(this.from * RATE),
      to: Math.round(this.to * RATE),
      columns,
      rows: ROWS,
    });
    if (drawing !== this.drawing) return;
    this.playhead.hidden = false;
    const peak = found.reduce((most, { envelope }) => envelope.reduce((high, value) => Math.max(high, Math.abs(value)), most), 0);
    found.forEach((picture, i) => {
      drawEnvelope(this.rows[i]!.wave, picture, peak);
      drawSpectrum(this.rows[i]!.spectrum, picture);
    });
    drawAxis(this.axis, this.from, this.to);
    this.setTime(this.time);
  }
}
