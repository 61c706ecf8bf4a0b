/** Buttons that give an `.ecdc` file, and the audio in it, as files. */

import { post } from "./api";
import { download, element, formatBytes, renamed } from "./dom";
import type { Task } from "./task";

const AUDIO = [
  { output: "wav", suffix: ".wav", type: "audio/wav" },
  { output: "flac", suffix: ".flac", type: "audio/flac" },
];

/** Fill `row` with buttons for `file`, which is named after `name`. */
export function offerDownloads(row: HTMLElement, task: Task, file: Blob, name: string, salvage = false): void {
  const button = (label: string, hint: string, onclick: () => void) =>
    element("button", { type: "button", onclick }, label, element("small", { className: "hint", textContent: hint ? ` ${hint}` : "" }));
  const audio = AUDIO.map(({ output, suffix, type }) =>
    button(suffix.slice(1).toUpperCase(), "", () => {
      void task.run(async ({ call }) => {
        const query = { output, salvage: salvage || undefined };
        const { data } = await post("decompress", query, file, call("Sending", "Decoding", "Receiving"));
        download(new Blob([data], { type }), renamed(name, suffix));
      });
    }),
  );
  row.replaceChildren(button(".ecdc", formatBytes(file.size), () => download(file, renamed(name, ".ecdc"))), ...audio);
}
