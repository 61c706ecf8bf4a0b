/** Decoding in this browser: the WebAssembly decoder of `clients/web`, loaded when it is wanted. */

import { authorization, isAbort } from "./api";
import { RATE, doubled, type Channels } from "./audio";

/** What is used of `clients/web/src/index.ts`. */
interface DecoderModule {
  EncodecDecoder: {
    create(options: {
      service: URL;
      assets: URL;
      headers: Record<string, string>;
      onProgress: (loaded: number, total: number) => void;
    }): Promise<Decoder>;
  };
}
interface Decoder {
  open(file: Blob): Promise<OpenFile>;
}
interface OpenFile {
  info: { sampleRate: number };
  decode(part: { start?: number; end?: number; signal?: AbortSignal }): Promise<Channels>;
  close(): void;
}

const ASSETS = "web/encodec/";

let decoder: Promise<Decoder> | null = null;
let onWeights: (loaded: number, total: number) => void = () => {};
let opened: { blob: Blob; file: Promise<OpenFile> }[] = [];
const KEPT = 3; // open files
let failures = 0; // to load the module

/** Whether this browser can decode at all. */
export const canDecodeHere = typeof WebAssembly === "object" && typeof Worker === "function";

async function create(): Promise<Decoder> {
  const assets = new URL(ASSETS, document.baseURI);
  // Browsers remember that a module could not be loaded, by its address.
  const address = failures ? `index.js?again=${failures}` : "index.js";
  const module = await (import(new URL(address, assets).href) as Promise<DecoderModule>).catch((error: unknown) => {
    failures++;
    throw error;
  });
  return module.EncodecDecoder.create({
    service: new URL(".", document.baseURI),
    assets,
    headers: authorization(),
    onProgress: (loaded, total) => onWeights(loaded, total),
  });
}

function open(blob: Blob): Promise<OpenFile> {
  const known = opened.find((one) => one.blob === blob);
  if (known) return known.file;
  decoder ??= create();
  decoder.catch(() => (decoder = null)); // the next one tries again
  const file = decoder.then((made) => made.open(blob));
  file.catch(() => (opened = opened.filter((one) => one.file !== file)));
  opened.push({ blob, file });
  if (opened.length > KEPT) void opened.shift()!.file.then((old) => old.close(), () => {});
  return file;
}

/** A part of a file, or all of it, at `RATE`. Weights are fetched once. Throws `EncodecError` of
 * that package, and `AbortError`. */
export async function decodeHere(
  blob: Blob,
  part: { start?: number; end?: number; signal?: AbortSignal } = {},
  onProgress: (loaded: number, total: number) => void = () => {},
): Promise<Channels> {
  onWeights = onProgress;
  const file = await open(blob);
  try {
    const channels = await file.decode(part);
    return file.info.sampleRate === RATE ? channels : channels.map(doubled);
  } catch (error) {
    if (part.signal?.aborted && !isAbort(error)) throw new DOMException("cancelled", "AbortError");
    throw error;
  }
}
