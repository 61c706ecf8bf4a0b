import { EncodecError, invalidFile } from "../errors.js";
import { type Model, modelOf } from "../models.js";
import { type Bytes, checkCrc, concat, crc32c, u32, u32Bytes } from "./bytes.js";

const MAGIC = [0x45, 0x43, 0x44, 0x43]; // ECDC
const PREFIX = 9; // magic, version, bytes of JSON
const MOST_JSON = 65536;
const MOST_FRAMES = 9000; // of a chunk
const MOST_LM_FRAMES = 1024; // of one that a language model codes
const SEGMENT_FRAMES = 150;
/** Samples; every JSON reader holds it exactly. */
export const MOST_SAMPLES = Number.MAX_SAFE_INTEGER;

/** Of either version; `docs/format.md` says what each value means. */
export interface Header {
  version: 0 | 1;
  id: string;
  model: Model;
  codebooks: number;
  /** Arithmetic of the exact language model; 0 without one. Version 0: 0 or 1. */
  lm: number;
  /** Bytes of the header. */
  size: number;
  /** Version 0. */
  samples: number | null;
  /** Version 1: frames or segments in a full chunk. */
  chunk: number;
  rate?: number;
  channels?: number;
  name?: string;
  gain: number;
  tags: [string, string][];
}

export async function readHeader(bytes: Bytes): Promise<Header> {
  if (!(await bytes.has(PREFIX))) throw invalidFile("the file ends inside its header");
  const prefix = bytes.slice(0, PREFIX);
  if (MAGIC.some((byte, i) => prefix[i] !== byte))
    throw invalidFile("not an .ecdc file: it does not begin with ECDC");
  const version = prefix[4]!;
  if (version > 1)
    throw new EncodecError("unsupported_file", `.ecdc version ${version} is not known here`);
  const size = u32(prefix, 5);
  if (size > MOST_JSON) throw invalidFile(`the header says that it is ${size} bytes long`);
  const end = PREFIX + size + (version ? 4 : 0);
  if (!(await bytes.has(end))) throw invalidFile("the file ends inside its header");
  if (version) checkCrc(bytes.slice(0, end), "the header");
  const json = bytes.slice(PREFIX, PREFIX + size);
  return version ? version1(json, end) : version0(json, end);
}

function version0(json: Uint8Array, size: number): Header {
  const { values } = parse(json);
  const { m, al, nc, lm } = values;
  const model = modelOf(m);
  if (!isInteger(al, 1, MOST_SAMPLES)) throw invalidFile("the header's length cannot be");
  if (typeof lm !== "boolean") throw invalidFile("the header's lm is neither true nor false");
  const header = { version: 0, id: m as string, model, codebooks: books(model, nc) } as const;
  return { ...header, lm: +lm, size, samples: al, chunk: 0, gain: 0, tags: [] };
}

function version1(json: Uint8Array, size: number): Header {
  const { values, plainIntegers } = parse(json, true);
  const { m, nc, lm, chunk, rate, channels, name, gain = 0, tags = [] } = values;
  const model = modelOf(m);
  const integer = (key: string, value: unknown, least: number, most: number): number => {
    if (!plainIntegers.has(key) || !isInteger(value, least, most))
      throw invalidFile(`the header's ${key} is not in ${least}..${most}`);
    return value;
  };
  const optional = (key: string, value: unknown, most: number): number | undefined =>
    value === undefined ? undefined : integer(key, value, 1, most);
  integer("nc", nc, 1, 32);
  if (name !== undefined && !isFileName(name))
    throw invalidFile("the header's name is not the name of a file");
  if (typeof gain !== "number" || !(Math.abs(gain) <= 128))
    throw invalidFile("the header's gain is not in -128..128 dB");
  const arithmetic = integer("lm", lm, 0, 255);
  const mostFrames = arithmetic ? MOST_LM_FRAMES : MOST_FRAMES;
  const mostChunk = model.causal ? mostFrames : Math.floor(mostFrames / SEGMENT_FRAMES);
  return {
    version: 1,
    id: m as string,
    model,
    codebooks: books(model, nc),
    lm: arithmetic,
    size,
    samples: null,
    chunk: integer("chunk", chunk, 1, mostChunk),
    rate: optional("rate", rate, 10_000_000),
    channels: optional("channels", channels, 65_535),
    name: name as string | undefined,
    gain,
    tags: checkedTags(tags),
  };
}

function books(model: Model, value: unknown): number {
  if (!model.codebooks.includes(value as number))
    throw invalidFile(`the header's number of codebooks is of no bandwidth of ${model.name}`);
  return value as number;
}

function isInteger(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

function utf8Length(text: string): number {
  if (/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text))
    throw invalidFile("the header holds half a character");
  return new TextEncoder().encode(text).length;
}

function isFileName(name: unknown): boolean {
  if (typeof name !== "string" || name === "." || name === "..") return false;
  const size = utf8Length(name);
  // biome-ignore lint: control characters are what it looks for
  return size >= 1 && size <= 255 && !/[/\\\u0000-\u001f\u007f]/.test(name);
}

function checkedTags(tags: unknown): [string, string][] {
  const bad = (): never => {
    throw invalidFile("the header's tags are not at most 256 pairs of a key and a value");
  };
  if (!Array.isArray(tags) || tags.length > 256) return bad();
  for (const tag of tags) {
    if (!Array.isArray(tag) || tag.length !== 2 || tag.some((part) => typeof part !== "string"))
      return bad();
    if (!/^[ -<>-}]{1,64}$/.test(tag[0])) return bad();
    utf8Length(tag[1]);
  }
  return tags as [string, string][];
}

/** A JSON object, and which of its keys have integers without point or exponent. With `once`, a
 * key that comes twice in any object, and null in this one, are refused. */
function parse(
  json: Uint8Array,
  once = false,
): { values: Record<string, unknown>; plainIntegers: Set<string> } {
  const plainIntegers = new Set<string>();
  let values: unknown;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
    values = JSON.parse(text);
  } catch {
    throw invalidFile("the header is not readable JSON");
  }
  if (typeof values !== "object" || values === null || Array.isArray(values))
    throw invalidFile("the header is not a JSON object");
  const open: (Set<string> | null)[] = []; // the keys of each object around, null for an array
  let last = "";
  let key = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      key = JSON.parse(last) as string;
      const keys = open.at(-1)!;
      if (once && keys!.has(key)) throw invalidFile("a key of the header comes twice");
      keys!.add(key);
    } else if (open.length === 1 && /^-?\d+$/.test(token)) plainIntegers.add(key);
    last = token;
  }
  if (once && Object.values(values).includes(null))
    throw invalidFile("a value of the header is null");
  return { values: values as Record<string, unknown>, plainIntegers };
}

/** A header of version 0, byte for byte the reference's. */
export function headerBytes0(id: string, samples: number, codebooks: number): Uint8Array {
  return prefixed(0, `{"m": "${id}", "al": ${samples}, "nc": ${codebooks}, "lm": false}`);
}

/** A header of version 1. */
export function headerBytes1(header: Omit<Header, "size" | "samples" | "version">): Uint8Array {
  const { id, codebooks, lm, chunk, rate, channels, name, gain, tags } = header;
  const meta: Record<string, unknown> = { m: id, nc: codebooks, lm, chunk };
  for (const [key, value] of Object.entries({ rate, channels, name, gain }))
    if (value) meta[key] = value;
  if (tags.length) meta.tags = tags;
  const data = prefixed(1, JSON.stringify(meta));
  if (data.length > PREFIX + MOST_JSON)
    throw new EncodecError("invalid_argument", "the tags are longer than a header may be");
  return concat([data, u32Bytes(crc32c(data))]);
}

function prefixed(version: number, json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  return concat([Uint8Array.from([...MAGIC, version]), u32Bytes(text.length), text]);
}
