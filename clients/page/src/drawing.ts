/** Pictures on canvases: envelopes, spectrograms, a time axis. */

import { heightOf, type Picture } from "./analysis";
import { formatTime } from "./dom";

/** Dark to bright; from black over violet and orange to pale yellow. */
const STOPS = [
  [8, 6, 15],
  [52, 16, 92],
  [135, 33, 107],
  [212, 72, 66],
  [250, 150, 40],
  [252, 246, 176],
] as const;

const COLOURS = Uint8ClampedArray.from({ length: 256 * 4 }, (_, i) => {
  if (i % 4 === 3) return 255;
  const at = ((i >> 2) / 255) * (STOPS.length - 1);
  const below = Math.min(STOPS.length - 2, Math.floor(at));
  const [from, to] = [STOPS[below]![i % 4]!, STOPS[below + 1]![i % 4]!];
  return from + (to - from) * (at - below);
});

/** The canvas, cleared, with as many pixels as the screen has for it, and its colour. */
export function prepare(canvas: HTMLCanvasElement): { context: CanvasRenderingContext2D; width: number; height: number; colour: string } {
  const scale = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d")!;
  context.scale(scale, scale);
  const colour = getComputedStyle(canvas).color;
  context.fillStyle = colour;
  context.font = "11px system-ui, sans-serif";
  return { context, width, height, colour };
}

/** Lowest and highest sample of each column, scaled so that `peak` fills the height. */
export function drawEnvelope(canvas: HTMLCanvasElement, { envelope }: Picture, peak: number): void {
  const { context, width, height } = prepare(canvas);
  const columns = envelope.length / 2;
  const scale = height / 2 / Math.max(peak, 1e-4);
  for (let x = 0; x < columns; x++) {
    const top = height / 2 - envelope[2 * x + 1]! * scale;
    const bottom = height / 2 - envelope[2 * x]! * scale;
    context.fillRect((x * width) / columns, top, width / columns + 0.3, Math.max(1, bottom - top));
  }
}

export function drawSpectrum(canvas: HTMLCanvasElement, { envelope, spectrum }: Picture): void {
  const { context, width, height } = prepare(canvas);
  const columns = envelope.length / 2;
  const rows = spectrum.length / columns;
  const image = new ImageData(columns, rows);
  for (let x = 0; x < columns; x++)
    for (let r = 0; r < rows; r++) {
      const colour = 4 * spectrum[x * rows + r]!;
      image.data.set(COLOURS.subarray(colour, colour + 4), 4 * ((rows - 1 - r) * columns + x));
    }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d")!.putImageData(image, 0, 0);
  context.drawImage(small, 0, 0, width, height);
  context.fillStyle = "rgb(255 255 255 / 0.75)";
  context.textBaseline = "middle";
  for (const frequency of [1000, 4000, 12_000]) {
    const y = height * (1 - heightOf(frequency));
    context.fillRect(0, y, 4, 1);
    context.fillText(`${frequency / 1000} kHz`, 7, y);
  }
}

/** Seconds from `from` to `to` under the pictures. */
export function drawAxis(canvas: HTMLCanvasElement, from: number, to: number): void {
  const { context, width } = prepare(canvas);
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((one) => (one / (to - from)) * width > 70) ?? 7200;
  context.textBaseline = "top";
  for (let t = Math.ceil(from / step) * step; t < to; t += step) {
    const x = ((t - from) / (to - from)) * width;
    context.fillRect(x, 0, 1, 4);
    const text = formatTime(t, step < 0.1 ? 2 : step < 1 ? 1 : 0);
    context.fillText(text, Math.min(x + 3, width - context.measureText(text).width), 5);
  }
}

