import { Bytes, Core, EncodecError, type Encoding, type OpenFile } from "./core.js";
import type { Answer, Envelope, FromWorklet, Opened, Request, Seek, ToWorklet } from "./messages.js";
import type { AudioBlock } from "./types.js";

/** Decoded ahead of what is heard, in seconds. */
const AHEAD = 6;

declare const self: DedicatedWorkerGlobalScope;

let core: Core;
const files = new Map<number, OpenFile>();
const arriving = new Map<number, Bytes>();
const readings = new Map<number, AsyncGenerator<AudioBlock>>();
const encodings = new Map<number, Encoding>();
let lastNumber = 0;

self.onmessage = async ({ data }: MessageEvent<Envelope>) => {
  try {
    const { result, transfer = [] } = await handle(data);
    self.postMessage({ id: data.id, result } satisfies Answer, transfer);
  } catch (error) {
    self.postMessage({ id: data.id, error: EncodecError.from(error).toPlain() } satisfies Answer);
  }
};

async function handle(
  request: Request,
): Promise<{ result?: unknown; transfer?: Transferable[] }> {
  switch (request.ask) {
    case "start": {
      const { service, headers, wasm, cache } = request;
      const onProgress = (loaded: number, total: number) =>
        self.postMessage({ progress: [loaded, total] } satisfies Answer);
      core = new Core({ service, headers, cache, onProgress }, () => compile(wasm));
      return {};
    }
    case "load":
      await core.network(request.model.split("+", 1)[0]!, "decoder");
      if (request.model.includes("+")) await core.languageModel(request.model);
      return {};
    case "open":
      return { result: await opened(++lastNumber, new Bytes(new Uint8Array(request.data)), true) };
    case "stream":
      arriving.set(++lastNumber, new Bytes());
      return { result: lastNumber };
    case "header":
      try {
        return { result: await opened(request.file, arriving.get(request.file)!, false) };
      } catch (error) {
        arriving.delete(request.file);
        throw error;
      }
    case "bytes": {
      const bytes = arriving.get(request.file);
      if (!bytes) throw new EncodecError("aborted", "the file was closed"); // its source may end
      if (request.data) bytes.push(request.data);
      else bytes.end(request.error ? EncodecError.fromPlain(request.error) : null);
      return {};
    }
    case "audio": {
      const { start, end } = request;
      readings.set(++lastNumber, file(request.file).audio({ start, end }));
      return { result: lastNumber };
    }
    case "next": {
      const next = await readings.get(request.reading)?.next();
      if (!next || next.done) {
        readings.delete(request.reading);
        return { result: null };
      }
      const transfer = next.value.channels.map((channel) => channel.buffer);
      return { result: next.value, transfer };
    }
    case "stop":
      await readings.get(request.reading)?.return(undefined);
      readings.delete(request.reading);
      return {};
    case "close":
      files.delete(request.file);
      arriving.get(request.file)?.end(new EncodecError("aborted", "the file was closed"));
      arriving.delete(request.file);
      return {};
    case "play":
      play(file(request.file), request.port);
      return {};
    case "served": {
      const served = await core.served(request.name);
      await core.network(served.model, "encoder");
      return { result: served };
    }
    case "encode":
      encodings.set(++lastNumber, await core.encoding(request.name, request.options));
      return { result: lastNumber };
    case "push": {
      const encoding = encodings.get(request.encoding);
      if (!encoding) throw new EncodecError("aborted", "the encoding has ended");
      let data = encoding.push(request.channels);
      if (request.last) {
        const rest = encoding.finish();
        const both = new Uint8Array(data.length + rest.length);
        both.set(data);
        both.set(rest, data.length);
        data = both;
        stopEncoding(request.encoding);
      }
      return { result: data, transfer: [data.buffer] };
    }
    case "stopEncoding":
      stopEncoding(request.encoding);
      return {};
  }
}

async function compile(url: string): Promise<WebAssembly.Module> {
  const response = await fetch(url).catch((error) => {
    throw new EncodecError("service_error", `${url} cannot be fetched: ${error}`);
  });
  if (!response.ok) throw new EncodecError("service_error", `${url}: ${response.status}`);
  const bytes = await response.arrayBuffer(); // whatever its media type
  if (!WebAssembly.validate(bytes))
    throw new EncodecError("unsupported_browser", "this browser has no WebAssembly SIMD");
  return WebAssembly.compile(bytes);
}

async function opened(number: number, bytes: Bytes, whole: boolean): Promise<Opened> {
  const found = await core.open(bytes, whole);
  files.set(number, found);
  return { file: number, info: found.info };
}

function file(number: number): OpenFile {
  const found = files.get(number);
  if (!found) throw new EncodecError("aborted", "the file was closed");
  return found;
}

function stopEncoding(number: number): void {
  encodings.get(number)?.free();
  encodings.delete(number);
}

/** Sends the worklet samples, `AHEAD` seconds ahead of what it has taken. */
function play(source: OpenFile, port: MessagePort): void {
  let run = 0;
  let sent = 0; // and not yet taken
  let wake = (): void => {};
  let stop: AbortController | undefined;
  port.onmessage = ({ data }: MessageEvent<FromWorklet | Seek>) => {
    if ("from" in data) {
      stop?.abort();
      stop = new AbortController();
      run = data.run;
      sent = 0;
      void send(data.run, data.from, stop.signal);
    } else if (data.run === run) sent -= data.taken;
    wake();
  };
  const room = source.info.sampleRate * AHEAD;

  async function send(own: number, from: number, signal: AbortSignal): Promise<void> {
    try {
      for await (const block of source.audio({ start: from, end: null, quick: true, signal })) {
        if (own !== run) return;
        const transfer = block.channels.map((channel) => channel.buffer);
        sent += block.channels[0]!.length;
        port.postMessage({ run: own, ...block } satisfies ToWorklet, transfer);
        do await new Promise<void>((resolve) => {
          wake = resolve;
          if (sent < room) setTimeout(resolve); // let messages in
        });
        while (own === run && sent >= room);
        if (own !== run) return;
      }
      port.postMessage({ run: own, ended: true } satisfies ToWorklet);
    } catch (error) {
      const plain = EncodecError.from(error).toPlain();
      if (own === run) port.postMessage({ run: own, error: plain } satisfies ToWorklet);
    }
  }
}
