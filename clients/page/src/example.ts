/** A few seconds of music, synthesised here. */

import { RATE, type Channels } from "./audio";

const BEAT = 0.3; // s
const CHORDS = [
  [220.0, 261.63, 329.63, 440.0],
  [174.61, 220.0, 261.63, 349.23],
  [261.63, 329.63, 392.0, 523.25],
  [196.0, 246.94, 293.66, 392.0],
];

/** Plucked strings over a bass, with a soft beat; stereo. */
export function exampleMusic(): Channels {
  const length = Math.round((CHORDS.length * 8 * BEAT + 1) * RATE);
  const [left, right] = [new Float32Array(length), new Float32Array(length)];
  const random = noise(7);
  const add = (at: number, samples: Float32Array, pan: number, level: number) => {
    const start = Math.round(at * RATE);
    for (let i = 0; i < samples.length && start + i < length; i++) {
      left[start + i]! += samples[i]! * level * Math.cos((pan * Math.PI) / 2);
      right[start + i]! += samples[i]! * level * Math.sin((pan * Math.PI) / 2);
    }
  };
  CHORDS.forEach((chord, bar) => {
    for (let step = 0; step < 8; step++) {
      const at = (bar * 8 + step) * BEAT;
      const note = chord[[0, 1, 2, 3, 2, 1, 3, 2][step]!]!;
      add(at, pluck(note * 2, 1.4, random), 0.25 + 0.5 * (step / 7), 0.4);
      if (step % 4 === 0) add(at, pluck(chord[0]! / 2, 1.6, random), 0.5, 0.6);
      add(at, burst(step % 2 ? 0.12 : 0.05, random), step % 2 ? 0.6 : 0.4, step % 4 === 2 ? 0.16 : 0.07);
    }
  });
  return [centred(left), centred(right)];
}

/** Without its mean: a string keeps whatever offset its noise began with. */
function centred(samples: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
  return samples.map((sample) => sample - mean);
}

/** A plucked string (Karplus and Strong): noise that runs round a delay and loses its treble. */
function pluck(frequency: number, seconds: number, random: () => number): Float32Array {
  const period = Math.round(RATE / frequency);
  const samples = new Float32Array(Math.round(seconds * RATE));
  let [soft, mean] = [0, 0];
  for (let i = 0; i <= period; i++) {
    soft += 0.35 * (random() - soft); // a finger, not a plectrum
    samples[i] = soft;
    mean += soft / (period + 1);
  }
  for (let i = 0; i <= period; i++) samples[i]! -= mean;
  for (let i = period + 1; i < samples.length; i++) samples[i] = 0.498 * (samples[i - period]! + samples[i - period - 1]!);
  for (let i = 0; i < samples.length; i++) samples[i]! *= Math.min(1, (samples.length - i) / 2000);
  return samples;
}

/** A short burst of noise, such as a shaker gives. */
function burst(seconds: number, random: () => number): Float32Array {
  return Float32Array.from({ length: Math.round(seconds * RATE) }, (_, i) => random() * Math.exp((-6 * i) / (seconds * RATE)));
}

/** -1…1, the same each time. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
}
