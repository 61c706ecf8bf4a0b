/** The microphone and the loudspeaker of live streams. */

import { unlessAborted } from "./api";
import { askForMicrophone, giveBack } from "./microphone";

declare const WORKLET_URL: string; // put in by the build

/** What the loudspeaker says ten times a second. */
export interface PlaybackReport {
  /** Seconds that are held. */
  held: number;
  /** The loudest sample since the last report. */
  peak: number;
  /** How often nothing was there to be played. */
  gaps: number;
  /** Whether all was played, and no more comes. */
  done: boolean;
}

/** The microphone, at its own rate. */
export interface Microphone {
  /** Hz. */
  sampleRate: number;
  stop(): void;
}

/** Throws `DOMException` where the browser has no live audio, and where `signal` aborts. */
async function liveContext(signal: AbortSignal): Promise<AudioContext> {
  if (!("audioWorklet" in AudioContext.prototype)) throw new DOMException("Browsers play live audio only from https and localhost.");
  const context = new AudioContext({ latencyHint: "interactive" });
  try {
    const loaded = context.audioWorklet.addModule(new URL(WORKLET_URL, document.baseURI));
    await unlessAborted(Promise.all([loaded, context.resume()]), signal);
    return context;
  } catch (error) {
    void context.close();
    throw error;
  }
}

/** Ask for the microphone; `onSamples` gets mono samples, 20 ms at a time. Throws `DOMException`,
 * also where `signal` aborts. */
export async function openMicrophone(
  onSamples: (samples: Float32Array<ArrayBuffer>) => void,
  signal: AbortSignal,
): Promise<Microphone> {
  const stream = await askForMicrophone({ echoCancellation: true, noiseSuppression: false }, signal);
  const context = await liveContext(signal).catch((error: unknown) => {
    giveBack(stream);
    throw error;
  });
  const capture = new AudioWorkletNode(context, "capture", { outputChannelCount: [1] });
  capture.port.onmessage = ({ data }: MessageEvent<Float32Array<ArrayBuffer>>) => onSamples(data);
  // The context only asks nodes that lead somewhere; this one is silent.
  context.createMediaStreamSource(stream).connect(capture).connect(context.createMediaStreamDestination());
  return {
    sampleRate: context.sampleRate,
    stop() {
      giveBack(stream);
      void context.close();
    },
  };
}

/** Plays mono samples at its own rate as they come. */
const LAST_SOUND = 300; // ms that sound is under way to the ear

export class Loudspeaker {
  private constructor(
    private readonly context: AudioContext,
    private readonly node: AudioWorkletNode,
    private readonly output: GainNode,
  ) {}

  /** Throws as `openMicrophone`. */
  static async open(onReport: (report: PlaybackReport) => void, signal: AbortSignal): Promise<Loudspeaker> {
    const context = await liveContext(signal);
    const node = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
    const output = context.createGain();
    node.connect(output).connect(context.destination);
    const loudspeaker = new Loudspeaker(context, node, output);
    node.port.onmessage = ({ data }: MessageEvent<PlaybackReport>) => {
      onReport(data);
      if (data.done) setTimeout(() => loudspeaker.close(), LAST_SOUND);
    };
    return loudspeaker;
  }

  /** Hz. */
  get sampleRate(): number {
    return this.context.sampleRate;
  }

  play(samples: Float32Array<ArrayBuffer>): void {
    this.node.port.postMessage(samples, [samples.buffer]);
  }

  set muted(value: boolean) {
    this.output.gain.setTargetAtTime(value ? 0 : 1, this.context.currentTime, 0.01);
  }

  /** No more samples come: play what is held, then close. */
  end(): void {
    this.node.port.postMessage(null);
  }

  close(): void {
    if (this.context.state !== "closed") void this.context.close();
  }
}
