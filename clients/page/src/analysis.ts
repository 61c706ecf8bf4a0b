/** Measurements of samples at `RATE`: envelopes, spectrograms, lag, signal-to-noise ratio and
 * log-spectral distance. Runs in a worker. */

import { RATE, mixed, type Channels } from "./audio";

/** What is drawn of a signal between two moments. */
export interface Picture {
  /** Lowest and highest sample of each column: `[2 * columns]`. */
  envelope: Float32Array<ArrayBuffer>;
  /** 0…255 for `FLOOR`…0 dB of full scale, `[columns, rows]`, low frequencies first. */
  spectrum: Uint8Array<ArrayBuffer>;
}

/** How near one signal is to another. */
export interface Quality {
  /** Signal-to-noise ratio, dB; null where the original is silent. */
  snr: number | null;
  /** Log-spectral distance, dB: root mean square over frequencies, mean over frames; null where the
   * original is silent or has no whole frame. */
  lsd: number | null;
}

const SIZE = 2048; // samples of a window
const HOP = 1024;
const FLOOR = -100; // dB
const QUIET = 1e-3; // root mean square below which a frame says nothing
const LONGEST_LAG = 4096; // samples
const LAG_WINDOW = 1 << 17; // samples that are compared to find a lag
const LEAST_LIKENESS = 0.3; // correlation below which no lag is believed

const window = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));

/** Transforms complex numbers in place; their count is a power of two. */
export function fft(re: Float32Array, im: Float32Array): void {
  const n = re.length;
  const { cos, sin, reversed } = plan(n);
  for (let i = 0; i < n; i++) {
    const j = reversed[i]!;
    if (i >= j) continue;
    const [real, imaginary] = [re[i]!, im[i]!];
    re[i] = re[j]!;
    im[i] = im[j]!;
    re[j] = real;
    im[j] = imaginary;
  }
  for (let half = 1; half < n; half *= 2) {
    const step = n / (2 * half);
    for (let start = 0; start < n; start += 2 * half)
      for (let k = 0; k < half; k++) {
        const c = cos[k * step]!;
        const s = sin[k * step]!;
        const a = start + k;
        const b = a + half;
        const x = re[b]! * c - im[b]! * s;
        const y = re[b]! * s + im[b]! * c;
        re[b] = re[a]! - x;
        im[b] = im[a]! - y;
        re[a] = re[a]! + x;
        im[a] = im[a]! + y;
      }
  }
}

interface Plan {
  /** Cosine and minus sine of the first half of a circle in `n` steps. */
  cos: Float64Array;
  sin: Float64Array;
  /** Each index with its bits in reverse. */
  reversed: Uint32Array;
}

const plans = new Map<number, Plan>();

function plan(n: number): Plan {
  const known = plans.get(n);
  if (known) return known;
  const angles = Float64Array.from({ length: n / 2 }, (_, k) => (2 * Math.PI * k) / n);
  const reversed = new Uint32Array(n);
  for (let i = 1; i < n; i++) reversed[i] = (reversed[i >> 1]! >> 1) | (i & 1 ? n >> 1 : 0);
  const made = { cos: angles.map(Math.cos), sin: angles.map((a) => -Math.sin(a)), reversed };
  plans.set(n, made);
  return made;
}

const re = new Float32Array(SIZE);
const im = new Float32Array(SIZE);

/** Power of each frequency around a sample of one signal and of another, 1 for a full-scale sine:
 * `[SIZE / 2]` each. The two are the parts of one complex signal, since that takes one transform. */
function powers(one: Float32Array, centre: number, other: Float32Array, otherCentre: number, into: Float32Array, intoOther: Float32Array): void {
  const start = centre - SIZE / 2;
  const otherStart = otherCentre - SIZE / 2;
  for (let i = 0; i < SIZE; i++) {
    re[i] = (one[start + i] ?? 0) * window[i]!;
    im[i] = (other[otherStart + i] ?? 0) * window[i]!;
  }
  fft(re, im);
  const scale = (2 / SIZE) ** 2; // twice the halves of both, over the mean of the window, 1/2
  for (let k = 0; k < SIZE / 2; k++) {
    const mirror = (SIZE - k) % SIZE;
    into[k] = ((re[k]! + re[mirror]!) ** 2 + (im[k]! - im[mirror]!) ** 2) * scale;
    intoOther[k] = ((im[k]! + im[mirror]!) ** 2 + (re[mirror]! - re[k]!) ** 2) * scale;
  }
}

const mel = (hertz: number) => Math.log10(1 + hertz / 700);
const hertz = (value: number) => 700 * (10 ** value - 1);

/** The highest frequency drawn, Hz. */
export const TOP = 20_000;

/** Hz at a height between 0 and 1 of a spectrogram. */
export function frequencyAt(height: number): number {
  return hertz(height * mel(TOP));
}

/** Height between 0 and 1 of a frequency. */
export function heightOf(frequency: number): number {
  return mel(frequency) / mel(TOP);
}

/** The picture of a signal from sample `from` to `to`. */
export function picture(channels: Channels, from: number, to: number, columns: number, rows: number): Picture {
  const mono = mixed(channels, 1)[0]!;
  const envelope = new Float32Array(2 * columns);
  const spectrum = new Uint8Array(columns * rows);
  const power = [new Float32Array(SIZE / 2), new Float32Array(SIZE / 2)] as const;
  const edges = Array.from({ length: rows + 1 }, (_, r) => (frequencyAt(r / rows) * SIZE) / RATE);
  const step = (to - from) / columns;
  for (let x = 0; x < columns; x++) {
    const start = Math.floor(from + x * step);
    const end = Math.max(start + 1, Math.floor(from + (x + 1) * step));
    let [low, high] = [Infinity, -Infinity];
    for (const channel of channels)
      for (let i = start; i < end; i++) {
        const sample = channel[i] ?? 0;
        if (sample < low) low = sample;
        if (sample > high) high = sample;
      }
    envelope[2 * x] = low;
    envelope[2 * x + 1] = high;
    const centre = (column: number) => Math.round(from + (column + 0.5) * step);
    if (x % 2 === 0) powers(mono, centre(x), mono, centre(x + 1), ...power);
    for (let r = 0; r < rows; r++) {
      const level = 10 * Math.log10(strongest(power[x % 2]!, edges[r]!, edges[r + 1]!) + 1e-12);
      spectrum[x * rows + r] = Math.round(255 * Math.min(1, Math.max(0, 1 - level / FLOOR)));
    }
  }
  return { envelope, spectrum };
}

/** The strongest of the powers between two bins, or what lies between bins where they are wide. */
function strongest(power: Float32Array, from: number, to: number): number {
  const middle = (from + to) / 2;
  if (to - from < 1) {
    const below = Math.floor(middle);
    const share = middle - below;
    return (power[below] ?? 0) * (1 - share) + (power[below + 1] ?? 0) * share;
  }
  let most = 0;
  for (let k = Math.ceil(from); k < to; k++) most = Math.max(most, power[k] ?? 0);
  return most;
}

/** How near `decoded` is to `original`, up to the frequency `limit` in Hz. */
export function quality(original: Channels, decoded: Channels, limit: number): Quality {
  const reference = mixed(original, decoded.length);
  let [signal, noise, distance, frames] = [0, 0, 0, 0];
  const bins = Math.min(SIZE / 2, Math.floor((limit * SIZE) / RATE));
  const [one, other] = [new Float32Array(SIZE / 2), new Float32Array(SIZE / 2)];
  decoded.forEach((heard, c) => {
    const real = reference[Math.min(c, reference.length - 1)]!;
    for (let i = 0; i < heard.length; i++) {
      const sample = real[i] ?? 0;
      signal += sample ** 2;
      noise += (sample - heard[i]!) ** 2;
    }
    for (let centre = SIZE / 2; centre < heard.length; centre += HOP) {
      powers(real, centre, heard, centre, one, other);
      if (one.reduce((sum, value) => sum + value, 0) < QUIET ** 2) continue;
      let sum = 0;
      for (let k = 1; k < bins; k++) sum += (10 * Math.log10((one[k]! + 1e-9) / (other[k]! + 1e-9))) ** 2;
      distance += Math.sqrt(sum / (bins - 1));
      frames++;
    }
  });
  return {
    snr: signal > 0 && noise > 0 ? 10 * Math.log10(signal / noise) : null,
    lsd: frames ? distance / frames : null,
  };
}

/** By how many samples the decoded signal is later than the original: browsers and the service do
 * not cut the start of an MP3 or AAC alike. 0 where the two are not alike enough to tell. */
export function findLag(original: Channels, decoded: Channels): number {
  const [one, other] = [mixed(original, 1)[0]!, mixed(decoded, 1)[0]!];
  const start = loudest(one);
  const n = 2 * LAG_WINDOW;
  const [xr, xi, yr, yi] = [0, 0, 0, 0].map(() => new Float32Array(n)) as [Float32Array, Float32Array, Float32Array, Float32Array];
  xr.set(one.subarray(start, start + LAG_WINDOW));
  yr.set(other.subarray(start, start + LAG_WINDOW));
  const energy = Math.sqrt(sumOfSquares(xr) * sumOfSquares(yr));
  if (energy === 0) return 0;
  fft(xr, xi);
  fft(yr, yi);
  for (let k = 0; k < n; k++) {
    const real = xr[k]! * yr[k]! + xi[k]! * yi[k]!;
    const imaginary = yr[k]! * xi[k]! - yi[k]! * xr[k]!; // transformed forwards again: conjugated
    xr[k] = real;
    xi[k] = imaginary;
  }
  fft(xr, xi);
  let best = 0;
  for (let lag = -LONGEST_LAG; lag <= LONGEST_LAG; lag++) if (xr[(lag + n) % n]! > xr[(best + n) % n]!) best = lag;
  return xr[(best + n) % n]! / n / energy < LEAST_LIKENESS ? 0 : best;
}

/** The start of the loudest stretch that a lag is sought in. */
function loudest(samples: Float32Array): number {
  let [best, most] = [0, -1];
  for (let start = 0; start === 0 || start + LAG_WINDOW <= samples.length; start += LAG_WINDOW) {
    const loud = sumOfSquares(samples.subarray(start, start + LAG_WINDOW));
    if (loud > most) [best, most] = [start, loud];
  }
  return best;
}

function sumOfSquares(samples: Float32Array): number {
  return samples.reduce((sum, sample) => sum + sample * sample, 0);
}
