/** Decoding `.ecdc` files to samples at `RATE`: by the service, or here. */

import { post, type CallOptions } from "./api";
import { RATE, deinterleave, type Channels } from "./audio";
import { chosenRadio, fillRadios } from "./dom";
import { canDecodeHere, decodeHere } from "./local-decoder";
import type { Running } from "./task";
import type { DecodePart } from "./tracks";

const SMALL = 2_000_000; // bytes of a file that may well be sent for each ten seconds
const SHORT_PART = 10; // s
const LONG_PART = 60; // s

/** Where files are decoded. The choice is shown in several places, and is one. */
export class Decoding {
  private here = false;
  private readonly groups: HTMLFieldSetElement[] = [];
  private readonly listeners: (() => void)[] = [];

  /** Show the choice in this group; `onChange` is called when it was made anew. */
  show(group: HTMLFieldSetElement, onChange: () => void): void {
    this.groups.push(group);
    this.listeners.push(onChange);
    group.addEventListener("change", (event) => {
      event.stopPropagation(); // the forms around it ask for something else
      this.here = chosenRadio(group) === "here";
      for (const other of this.groups)
        for (const input of other.querySelectorAll("input")) input.checked = (input.value === "here") === this.here;
      for (const listener of this.listeners) listener();
    });
    const options = [
      { value: "server", label: "On the server" },
      { value: "here", label: "In this browser", disabled: !canDecodeHere },
    ];
    fillRadios(group, group.id, options, this.here ? "here" : "server");
  }

  /** All of a file, and how long it took. Throws `Problem`. */
  async whole(file: Blob, channels: number, running: Running): Promise<{ channels: Channels; seconds: number }> {
    const { signal, call, say } = running;
    if (this.here) {
      say("Decoding here");
      const weights = (loaded: number, total: number) => say(loaded < total ? "Fetching the weights" : "Decoding here", total ? loaded / total : null);
      const started = performance.now();
      const decoded = await decodeHere(file, { signal }, weights);
      return { channels: decoded, seconds: (performance.now() - started) / 1000 };
    }
    const answer = await post("decompress", { output: "f32", sample_rate: RATE }, file, call("Sending", "Decoding"));
    return { channels: deinterleave(answer.data, channels), seconds: answer.seconds };
  }

  /** A file part by part; `salvage`: what is intact of it, which the service alone can do. */
  parts(file: Blob, channels: number, salvage = false): DecodePart {
    return async (start, end, signal) => {
      if (this.here && !salvage) return decodeHere(file, { start, end, signal });
      const query = { output: "f32", sample_rate: RATE, start, end, salvage: salvage || undefined };
      const options: CallOptions = { signal };
      return deinterleave((await post("decompress", query, file, options)).data, channels);
    };
  }

  /** Seconds of a part. The service is sent the whole file for each, so those of a large one are
   * longer. */
  partSeconds(file: Blob): number {
    return this.here || file.size < SMALL ? SHORT_PART : LONG_PART;
  }
}
