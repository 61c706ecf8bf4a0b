/** Elements by id, small builders, and numbers as people read them. */

/** The element with this id, which must be of the given class. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no #${id} of class ${kind.name}`);
  return found;
}

/** A new element; `children` are elements or text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Fill a `<dl>` with names and values. */
export function fillFacts(list: HTMLDListElement, facts: [string, string][]): void {
  list.replaceChildren(
    ...facts.map(([name, value]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })),
    ),
  );
}

/** One of several radio buttons in a row; `disabled` ones cannot be chosen. */
export interface Option {
  value: string;
  label: string;
  hint?: string;
  disabled?: boolean;
}

/** Make the radio buttons of a `<fieldset>` anew; the legend stays. */
export function fillRadios(group: HTMLFieldSetElement, name: string, options: Option[], chosen: string): void {
  const row = element("div", { className: "segments" });
  for (const { value, label, hint, disabled = false } of options) {
    const input = element("input", { type: "radio", name, value, disabled, checked: value === chosen });
    const text = element("span", { textContent: label });
    if (hint) text.append(element("small", { textContent: hint }));
    row.append(element("label", {}, input, text));
  }
  group.querySelector(".segments")?.remove();
  group.append(row);
}

/** The value of the radio button that is chosen in a group; "" where none is. */
export function chosenRadio(group: HTMLFieldSetElement): string {
  return group.querySelector<HTMLInputElement>("input:checked")?.value ?? "";
}

/** `1234567` -> `1.23 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const rounded = Number(bytes.toPrecision(3)); // 999,700 are 1.00 MB
  const power = Math.min(units.length, Math.floor(Math.log10(rounded) / 3));
  return `${formatDigits(rounded / 1000 ** power, 3)} ${units[power - 1]}`;
}

/** With so many significant digits, or more where it has more before the point: for 2, `1.234` ->
 * `1.2`, `304.2` -> `304`. */
export function formatDigits(value: number, digits: number): string {
  const power = Math.floor(Math.log10(Number(value.toPrecision(digits))));
  return value.toFixed(Math.max(0, digits - 1 - power));
}

/** `83.4` -> `1:23.4`. */
export function formatTime(seconds: number, decimals = 1): string {
  const unit = 10 ** decimals;
  const total = Math.max(0, Math.floor(seconds * unit + 1e-6)) / unit;
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor(total / 60) % 60;
  const rest = (total % 60).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** `0.0123` -> `12 ms`, `3.456` -> `3.5 s`. */
export function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** `4.321` -> `4.3`; a dash where there is nothing to say. */
export function formatDecibels(value: number | null): string {
  return value === null ? "–" : value.toFixed(1);
}

/** Offer bytes as a file. */
export function download(blob: Blob, name: string): void {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** `talk.mp3`, `.ecdc` -> `talk.ecdc`. */
export function renamed(name: string, suffix: string): string {
  return name.replace(/\.[^./\\]*$/, "") + suffix;
}

/** Say something to a screen reader. */
export function announce(text: string): void {
  byId("status", HTMLElement).textContent = text;
}
