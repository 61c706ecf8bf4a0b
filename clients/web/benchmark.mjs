// How fast the package is: `node benchmark.mjs SERVICE [CHROMIUM]`, in Node or in Chromium, with the
// weights that the service has. Seconds of audio a second of one processor, and by the clock how
// soon the first sound of a five-minute file is there, from its middle. `--experimental-wasm-relaxed-simd` gives
// Node 20 relaxed SIMD.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { serve } from "./serve.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "../../service/web/encodec");
const [service, chromium] = process.argv.slice(2);

/** Runs in either; `clock` gives milliseconds of the processor. */
async function measure({ Core, Bytes, buildName }, service, read, clock) {
  const core = new Core({ service, cache: false }, async () =>
    WebAssembly.compile(await read(buildName())),
  );
  const rows = [];
  for (const [model, rate, channels, seconds] of [
    ["encodec_24khz", 24000, 1, 10],
    ["encodec_48khz", 48000, 2, 5],
  ]) {
    const sound = Array.from({ length: channels }, () =>
      new Float32Array(rate * seconds).map((_, i) => 0.3 * Math.sin(i / 15 + Math.sin(i / 9e3)) + 0.05 * (Math.random() - 0.5)),
    );
    const loading = performance.now();
    await core.encoding(model, {});
    const loaded = performance.now() - loading;
    const write = async (options) => {
      const encoding = await core.encoding(model, options);
      const began = await clock();
      const parts = [encoding.push(sound), encoding.finish()];
      encoding.free();
      return [new Uint8Array(await new Blob(parts).arrayBuffer()), (await clock()) - began];
    };
    await write({}); // compiled by now
    const [data, encoding] = await write({});
    const decode = async (bytes) => {
      const file = await core.open(new Bytes(bytes), true);
      const began = await clock();
      for await (const _ of file.audio({ start: 0, end: null }));
      return (await clock()) - began;
    };
    await decode(data);
    const row = {
      build: buildName(), model, load_ms: loaded,
      encode: (1000 * seconds) / encoding, decode: (1000 * seconds) / (await decode(data)),
    };
    if (model === "encodec_24khz") {
      const [coded] = await write({ lm: true }).catch(() => []);
      if (coded) {
        await decode(coded);
        row.decode_lm = (1000 * seconds) / (await decode(coded));
      }
    }
    if (model === "encodec_24khz") {
      // Five minutes: the codes of ten seconds, which fill whole bytes, again and again.
      const [plain] = await write({ format: 0 });
      const payload = plain.subarray(plain.length - 7500);
      const text = new TextDecoder().decode(plain.subarray(9, plain.length - 7500));
      const json = new TextEncoder().encode(text.replace(`${rate * seconds}`, `${rate * 300}`));
      const prefix = Uint8Array.of(...plain.subarray(0, 5), 0, 0, 0, json.length);
      const body = new Blob([prefix, json, ...Array(30).fill(payload)]);
      const answer = await fetch(`${service}/transcode?format=1`, { method: "POST", body });
      const file = await core.open(new Bytes(new Uint8Array(await answer.arrayBuffer())), true);
      for (const quick of [true, false]) {
        const began = performance.now();
        for await (const _ of file.audio({ start: 150 * rate, end: null, quick })) break;
        row[quick ? "first_sound_ms" : "first_exact_ms"] = performance.now() - began;
      }
    }
    rows.push(row);
  }
  return rows;
}

let rows;
if (!chromium) {
  const core = await import(pathToFileURL(join(folder, "core.js")));
  const read = (name) => readFileSync(join(folder, name));
  rows = await measure(core, service, read, () => process.cpuUsage().user / 1000);
  console.log("Node");
} else {
  const { chromium: browsers } = await import("playwright-core");
  const { origin, close } = await serve([folder, join(here, "../../tests/clients/web")], service);
  const browser = await browsers.launch({ executablePath: chromium, args: ["--no-sandbox"] });
  const page = await browser.newPage();
  const devtools = await browser.newBrowserCDPSession();
  await page.exposeFunction("processorTime", async () => {
    const { processInfo } = await devtools.send("SystemInfo.getProcessInfo");
    const renderers = processInfo.filter(({ type }) => type === "renderer");
    return 1000 * renderers.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
  });
  await page.goto(`${origin}/page/page.html`);
  rows = await page.evaluate(
    async ([source, origin]) => {
      const core = await import(`${origin}/page/core.js`);
      const read = async (name) => (await fetch(`${origin}/page/${name}`)).arrayBuffer();
      const measure = new Function(`return ${source}`)();
      return measure(core, origin, read, window.processorTime);
    },
    [measure.toString(), origin],
  );
  await browser.close();
  close();
  console.log("Chromium");
}
for (const row of rows)
  console.log(Object.entries(row).map(([k, v]) => `${k} ${typeof v === "number" ? v.toFixed(1) : v}`).join("  "));
