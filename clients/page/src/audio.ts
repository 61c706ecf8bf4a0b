/** Samples, all at one rate: reading files, interleaving, resampling, shifting. */

/** Hz. Of everything that is heard and measured here: twice the rate of the 24 kHz model. */
export const RATE = 48_000;

/** Samples of each channel at `RATE`, all of one length. */
export type Channels = Float32Array<ArrayBuffer>[];

/** Read any audio that the browser can, resampled to `RATE`. Throws `EncodingError` where it
 * cannot. */
export async function readAudio(file: Blob): Promise<Channels> {
  const context = new OfflineAudioContext(1, 1, RATE);
  const buffer = await context.decodeAudioData(await file.arrayBuffer());
  return Array.from({ length: Math.min(2, buffer.numberOfChannels) }, (_, c) => buffer.getChannelData(c));
}

/** Length of a media file in seconds, without decoding it; null where the browser cannot tell. */
export function durationOf(file: Blob): Promise<number | null> {
  return new Promise((resolve) => {
    const media = new Audio();
    const end = (seconds: number | null) => {
      URL.revokeObjectURL(media.src);
      resolve(seconds !== null && Number.isFinite(seconds) ? seconds : null);
    };
    media.preload = "metadata";
    media.onloadedmetadata = () => end(media.duration);
    media.onerror = () => end(null);
    media.src = URL.createObjectURL(file);
  });
}

/** `output=f32` of the service, interleaved little-endian, as channels. */
export function deinterleave(data: ArrayBuffer, count: number): Channels {
  const samples = new Float32Array(data);
  if (count === 1) return [samples];
  const length = samples.length / count;
  return Array.from({ length: count }, (_, c) => {
    const channel = new Float32Array(length);
    for (let i = 0; i < length; i++) channel[i] = samples[i * count + c]!;
    return channel;
  });
}

export function toBuffer(channels: Channels): AudioBuffer {
  const length = Math.max(1, channels[0]!.length);
  const buffer = new AudioBuffer({ numberOfChannels: channels.length, length, sampleRate: RATE });
  channels.forEach((channel, c) => buffer.copyToChannel(channel, c));
  return buffer;
}

/** Later by `lag` samples, or earlier where that is negative, and of `length` samples. */
export function shifted(channels: Channels, lag: number, length: number): Channels {
  return channels.map((channel) => {
    const moved = new Float32Array(length);
    const from = channel.subarray(Math.max(0, -lag), Math.max(0, length - lag));
    moved.set(from, Math.max(0, lag));
    return moved;
  });
}

/** The mean where one channel is wanted, else as they are. */
export function mixed(channels: Channels, count: number): Channels {
  const [left, right] = channels;
  if (count !== 1 || !left || !right) return channels;
  return [left.map((sample, i) => (sample + right[i]!) / 2)];
}

/** First minus second, where both have channels. */
export function difference(first: Channels, second: Channels): Channels {
  return second.map((channel, c) => {
    const other = first[Math.min(c, first.length - 1)]!;
    return channel.map((sample, i) => other[i]! - sample);
  });
}

/** A 16-bit WAV. */
export function toWav(channels: Channels): Blob {
  const [count, length] = [channels.length, channels[0]!.length];
  const view = new DataView(new ArrayBuffer(44 + 2 * count * length));
  const text = (at: number, value: string) => [...value].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, view.byteLength - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, count, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * count * RATE, true);
  view.setUint16(32, 2 * count, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count * length, true);
  for (let i = 0; i < length; i++)
    for (let c = 0; c < count; c++) {
      const sample = Math.max(-1, Math.min(1, channels[c]![i]!));
      view.setInt16(44 + 2 * (i * count + c), Math.round(sample * 32767), true);
    }
  return new Blob([view.buffer], { type: "audio/wav" });
}

const REACH = 32; // samples on either side
const BETA = 9; // of the Kaiser window: 90 dB

/** Between two samples: a sinc under a Kaiser window, for distances 0.5, 1.5, … */
const HALFWAY = Float64Array.from({ length: REACH }, (_, i) => {
  const distance = i + 0.5;
  const sinc = Math.sin(Math.PI * distance) / (Math.PI * distance);
  return (sinc * bessel(BETA * Math.sqrt(1 - (distance / REACH) ** 2))) / bessel(BETA);
});

/** The modified Bessel function of order 0. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

/** At twice the rate: the samples as they are, and one between each two. */
export function doubled(samples: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const made = new Float32Array(2 * samples.length);
  for (let i = 0; i < samples.length; i++) {
    let between = 0;
    for (let k = 0; k < REACH; k++) between += HALFWAY[k]! * ((samples[i - k] ?? 0) + (samples[i + 1 + k] ?? 0));
    made[2 * i] = samples[i]!;
    made[2 * i + 1] = between;
  }
  return made;
}
