// Runs the built package in Node for the tests: a JSON request a line in, a JSON answer a line out.
// Arguments: the folder of the package, the URL of the service.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, service] = process.argv.slice(2);
const { Bytes, buildName, ChunkFile, Core, EncodecError, openSource, readHeader } = await import(
  pathToFileURL(`${folder}/core.js`)
);
const module = () => WebAssembly.compile(readFileSync(`${folder}/${buildName()}`));
const core = new Core({ service }, module);
const read = (path) => new Uint8Array(readFileSync(path));
const floats = (path, channels) => {
  const bytes = read(path);
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const each = all.length / channels;
  return Array.from({ length: channels }, (_, c) => all.slice(c * each, (c + 1) * each));
};

/** In pieces of `piece` bytes, as they arrive. */
function arriving(data, piece) {
  const bytes = new Bytes();
  (async () => {
    for (let at = 0; at < data.length; at += piece) {
      bytes.push(data.subarray(at, at + piece));
      await new Promise((resolve) => setImmediate(resolve));
    }
    bytes.end();
  })();
  return bytes;
}

async function decode({ input, output, start = 0, end = null, quick = false, piece = 0 }) {
  const data = read(input);
  const file = await core.open(piece ? arriving(data, piece) : new Bytes(data), !piece);
  const began = performance.now();
  let first = null;
  const blocks = [];
  for await (const block of file.audio({ start, end, quick })) {
    first ??= performance.now() - began;
    blocks.push(block);
  }
  const begin = blocks[0].start;
  const length = blocks.reduce((sum, block) => sum + block.channels[0].length, 0);
  const whole = new Float32Array(file.info.channels * length);
  for (const block of blocks)
    block.channels.forEach((channel, c) => whole.set(channel, c * length + block.start - begin));
  writeFileSync(output, whole);
  return { info: file.info, begin, length, first };
}

async function encode({ input, output, model, channels, piece = 0, options }) {
  const encoding = await core.encoding(model, options);
  const samples = floats(input, channels);
  const step = piece || samples[0].length;
  const parts = [];
  for (let at = 0; at < samples[0].length; at += step)
    parts.push(encoding.push(samples.map((channel) => channel.subarray(at, at + step))));
  parts.push(encoding.finish());
  encoding.free();
  writeFileSync(output, Buffer.concat(parts));
  return { parts: parts.map((part) => part.length) };
}

/** All that a file says, its codes included, without its weights. */
async function inspect({ input, piece = 0 }) {
  const data = read(input);
  const bytes = piece ? arriving(data, piece) : new Bytes(data);
  const header = await readHeader(bytes);
  const found = { header: { ...header, model: header.model.name } };
  if (header.version === 0) {
    const source = openSource(bytes, header, !piece);
    const { stride, block } = header.model;
    if (header.model.causal)
      found.codes = [...(await source.frames(0, Math.ceil(source.samples / 320)))];
    else {
      found.segments = [];
      for (let index = 0; index * stride < source.samples; index++) {
        const { codes, scale } = await source.segment(index);
        const samples = Math.min(block, source.samples - index * stride);
        found.segments.push({ start: index * stride, samples, scale, codes: [...codes] });
      }
    }
    return found;
  }
  const file = new ChunkFile(bytes, header);
  if (!piece) file.openByIndex();
  let count = 0;
  found.chunks = [];
  try {
    count = await file.reach(Infinity);
  } catch (error) {
    found.error = error.message;
  }
  for (let number = 0; ; number++) {
    if (!found.error && number >= count) break;
    let chunk;
    try {
      chunk = file.chunk(number);
    } catch {
      break;
    }
    const { samples, scales, codes } = chunk;
    found.chunks.push({ number, samples, scales, bytes: Buffer.from(codes).toString("hex") });
  }
  return { ...found, samples: file.samples, originalSamples: file.originalSamples };
}

async function decodeLm({ id, books, chunks }) {
  const lm = await core.languageModel(id);
  const read = chunks.map(({ hex, frames }) => ({ data: Buffer.from(hex, "hex"), frames }));
  return { codes: lm.decode(read, books)?.map((codes) => [...codes]) ?? null };
}

async function encodeLm({ id, books, codes }) {
  const lm = await core.languageModel(id);
  return { hex: Buffer.from(lm.encode(Uint16Array.from(codes), books)).toString("hex") };
}

const commands = { decode, encode, inspect, decodeLm, encodeLm };
for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...request } = JSON.parse(line);
  let answer;
  try {
    answer = await commands[command](request);
  } catch (error) {
    if (!(error instanceof EncodecError)) answer = { unexpected: `${error.stack}` };
    else answer = { error: { code: error.code, message: error.message } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
