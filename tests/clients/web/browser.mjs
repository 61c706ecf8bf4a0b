// Drives Chromium for `test_browser.py`. Arguments: Chromium, the folder of the package, the URL of
// the service, a file. Prints one JSON object. One origin has the page's files and, behind them,
// the service.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "../../../clients/web/serve.mjs";

const [executablePath, folder, service, path] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, "../../../clients/web/package.json"));
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
const page = await browser.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(`${error}`));
const { origin, close } = await serve([folder, here], service);
const fetched = [];
page.on("response", (response) => {
  if (response.url().includes("/weights")) fetched.push(response.url());
});
await page.goto(`${origin}/page/page.html`);
await page.waitForFunction(() => window.encodec);
const data = readFileSync(path).toString("base64");

const result = await page.evaluate(async (data) => {
  const { EncodecDecoder, EncodecEncoder, EncodecPlayer } = window.encodec;
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const began = performance.now();
  const decoder = await EncodecDecoder.create();
  const file = await decoder.open(bytes);
  const opened = performance.now() - began;
  const { sampleRate, channels, duration, samples } = file.info;
  const whole = await file.decode();

  // The graph's output, offline.
  const play = async (rate, start) => {
    const seconds = 2;
    const context = new OfflineAudioContext(channels, seconds * rate, rate);
    const player = await EncodecPlayer.create(file, { context, start });
    player.node.connect(context.destination);
    await player.play();
    // Offline, time does not wait for the decoder by itself.
    void context.suspend(0).then(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await context.resume();
    });
    const rendered = await context.startRendering();
    const out = Array.from({ length: channels }, (_, c) => rendered.getChannelData(c));
    await player.close();
    return out;
  };
  const start = 1;
  const same = await play(sampleRate, start);
  const from = start * sampleRate;
  // Where it begins depends on when the worklet hears of it.
  const begins = same[0].findIndex((x) => x !== 0);
  let difference = 0;
  let compared = 0;
  const first = whole[0].subarray(from).findIndex((x) => x !== 0);
  for (let c = 0; c < channels; c++)
    for (let i = 0; i + begins < same[c].length && from + first + i < samples; i++, compared++)
      difference = Math.max(difference, Math.abs(same[c][begins + i] - whole[c][from + first + i]));
  const other = await play(44100, start);
  const power = (x) => x.reduce((sum, v) => sum + v * v, 0) / x.length;
  const resampled = power(other[0].subarray(22050)) / power(same[0].subarray(sampleRate / 2));

  // A real context: how long until the first sound after a seek, and that time goes on.
  const player = await EncodecPlayer.create(file);
  const states = [];
  player.addEventListener("statechange", () => states.push(player.state));
  await player.play();
  const asked = performance.now();
  await player.seek(duration / 2);
  const heard = performance.now() - asked;
  const before = player.currentTime;
  await new Promise((resolve) => setTimeout(resolve, 500));
  const moved = player.currentTime - before;
  player.pause();
  await player.seek(duration - 0.2);
  await player.play();
  await new Promise((resolve) => {
    player.addEventListener("ended", resolve);
    setTimeout(resolve, 5000);
  });
  const ended = player.state;
  await player.close();

  // Bytes as they arrive.
  const stream = await decoder.stream(new Blob([bytes]).stream());
  let streamed = 0;
  for await (const block of stream.audio()) streamed += block.channels[0].length;

  // What is no file, or was closed, is not read on.
  const cancelled = [];
  const endless = (name, first) =>
    new ReadableStream({
      start: (controller) => controller.enqueue(first),
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 16)),
      cancel: () => void cancelled.push(name),
    });
  await decoder.stream(endless("no file", new Uint8Array(9))).catch(() => {});
  (await decoder.stream(endless("closed", bytes))).close();
  for (let tries = 0; cancelled.length < 2 && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));

  // An error keeps its code through the worker.
  let code = null;
  await decoder.open(new Uint8Array(20)).catch((error) => {
    code = error instanceof window.encodec.EncodecError && error.code;
  });
  const stop = new AbortController();
  let aborted = null;
  try {
    for await (const _ of file.audio({ signal: stop.signal })) stop.abort();
  } catch (error) {
    aborted = error.code;
  }

  const encoder = await EncodecEncoder.create("encodec_24khz");
  const encoded = await encoder.encode([new Float32Array(30000).map((_, i) => Math.sin(i / 9) / 3)]);
  const again = await (await decoder.open(encoded)).decode();
  encoder.close();
  decoder.close();

  // The second time the weights are in Cache Storage.
  const kept = (await (await caches.open("encodec-weights-1")).keys()).length;
  return {
    info: file.info, opened, compared, difference, begins, resampled, heard, moved, ended, states,
    streamed, cancelled, code, aborted, encoded: encoded.length, again: again[0].length, kept,
    decoded: Array.from(whole[0].subarray(0, 48000)),
  };
}, data);
const before = fetched.length;
await page.reload();
await page.waitForFunction(() => window.encodec);
await page.evaluate(async (data) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const decoder = await window.encodec.EncodecDecoder.create();
  await decoder.open(bytes);
}, data);
await browser.close();
close();
process.stdout.write(JSON.stringify({ ...result, errors, refetched: fetched.length - before }));
