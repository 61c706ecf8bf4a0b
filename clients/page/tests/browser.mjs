// Chromium with a tap on what it plays, a watch on the Content-Security-Policy, and a fake microphone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const RATE = 48_000;
export const SERVICE = process.env.PAGE_SERVICE;
/** A name of this machine that browsers take for another, whose plain HTTP they do not trust. */
export const ELSEWHERE = "elsewhere.test";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The browser that all tests share. */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.PAGE_CHROMIUM,
    args: [
      "--no-sandbox",
      `--host-resolver-rules=MAP ${ELSEWHERE} 127.0.0.1`,
      "--autoplay-policy=no-user-gesture-required",
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
    ],
  });

/** The page; `page.faults` are errors and violations of the policy. */
export async function open(browser, options = {}, url = SERVICE) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy|violates/.test(message.text())) page.faults.push(message.text());
  });
  await page.addInitScript(watch);
  if (options.bypassCSP) await page.addInitScript(tap, TAP);
  await page.goto(url);
  return page;
}

/** A processor that posts what it hears, of the left channel, in blocks. */
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  block = new Float32Array(4096);
  filled = 0;
  process([[left]]) {
    for (let i = 0; left && i < left.length; i++) {
      this.block[this.filled++] = left[i];
      if (this.filled === 4096) this.port.postMessage(this.block.slice());
      this.filled %= 4096;
    }
    return true;
  }
});`;

/** Loads the page anew, its live streams answered by `answer(socket, kind)` in place of the service;
 * `kind` is `speak`, or what a listener wants: `f32` or `ecdc`. `tell(socket, …)` sends messages. */
export async function answerLive(page, answer) {
  await page.routeWebSocket(/live\/relay/, (socket) => {
    const wanted = new URL(socket.url()).searchParams;
    answer(socket, wanted.get("output") ?? wanted.get("role"));
  });
  await page.reload();
}
export const tell = (socket, ...messages) => messages.forEach((message) => socket.send(Buffer.isBuffer(message) ? message : JSON.stringify(message)));

/** Closes a page; fails where it broke its own policy or had an error. */
export async function close(page) {
  const violations = await page.evaluate(() => window.violations);
  const { faults } = page;
  await page.context().close();
  assert.deepEqual([...violations, ...faults], []);
}

/** Options of a page whose sound is recorded: the policy does not let the recorder in. */
export const RECORDED = { bypassCSP: true };

/** Runs in the page: notes violations of the policy. */
function watch() {
  window.violations = [];
  addEventListener("securitypolicyviolation", ({ violatedDirective }) => window.violations.push(violatedDirective));
}

/** Runs in the page: records what goes to the loudspeakers. */
function tap(processor) {
  window.heard = [];
  const module = URL.createObjectURL(new Blob([processor], { type: "text/javascript" }));
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target === this.context?.destination)
      void this.context.audioWorklet.addModule(module).then(() => {
        const node = new AudioWorkletNode(this.context, "tap");
        node.port.onmessage = ({ data }) => window.heard.push(data);
        connect.call(this, node);
        connect.call(node, this.context.destination); // silent
      });
    return connect.call(this, target, ...rest);
  };
}

/** The left channel of what was heard since `forget`, from its first sound on: `seconds` of it, or
 * all where none are given. */
export async function heard(page, seconds = 0) {
  await page.waitForFunction(
    (wanted) => {
      const first = window.heard.findIndex((block) => block.some((sample) => sample !== 0));
      return first >= 0 && (window.heard.length - first - 1) * 4096 >= wanted;
    },
    seconds * RATE,
  );
  const base64 = await page.evaluate(async () => {
    const reader = new FileReader();
    const read = new Promise((resolve) => (reader.onload = () => resolve(reader.result)));
    reader.readAsDataURL(new Blob(window.heard));
    return (await read).split(",")[1];
  });
  const bytes = Uint8Array.from(Buffer.from(base64, "base64"));
  const samples = new Float32Array(bytes.buffer);
  const start = samples.findIndex((sample) => sample !== 0);
  return samples.subarray(start, seconds ? start + seconds * RATE : samples.length);
}

export const forget = (page) => page.evaluate(() => void (window.heard = []));

/** Drop a file on the page, as a mouse does. */
export async function drop(page, bytes, ...names) {
  const transfer = await page.evaluateHandle(
    ([data, names]) => {
      const transfer = new DataTransfer();
      const content = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      for (const name of names) transfer.items.add(new File([content], name));
      return transfer;
    },
    [Buffer.from(bytes).toString("base64"), names],
  );
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
}

/** Serious findings of axe, one line each. */
export async function findings(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => html + failureSummary).join("; ")}`);
}

/** What the service answers to a file; bytes. */
export async function ask(path, body) {
  const answer = await fetch(`${SERVICE}/${path}`, { method: "POST", body });
  if (!answer.ok) throw new Error(await answer.text());
  return new Uint8Array(await answer.arrayBuffer());
}

/** The left channel of a file as the service decodes it at `RATE`. */
export async function decoded(ecdc, channels) {
  const bytes = await ask(`decompress?output=f32&sample_rate=${RATE}`, ecdc);
  const samples = new Float32Array(bytes.buffer);
  return samples.filter((_, i) => i % channels === 0);
}

/** A chord that never repeats, `seconds` long, as a stereo WAV of 48 kHz. */
export function wav(seconds) {
  const length = Math.round(seconds * RATE);
  const data = Buffer.alloc(44 + 4 * length);
  data.write("RIFF", 0);
  data.writeUInt32LE(data.length - 8, 4);
  data.write("WAVEfmt ", 8);
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20);
  data.writeUInt16LE(2, 22);
  data.writeUInt32LE(RATE, 24);
  data.writeUInt32LE(4 * RATE, 28);
  data.writeUInt16LE(4, 32);
  data.writeUInt16LE(16, 34);
  data.write("data", 36);
  data.writeUInt32LE(4 * length, 40);
  for (let i = 0; i < length; i++) {
    const t = i / RATE;
    const swell = 0.6 + 0.4 * Math.sin(2 * Math.PI * (0.7 * t + 0.05 * t * t));
    const tone = Math.sin(2 * Math.PI * (180 * t + 9 * t * t)) + 0.5 * Math.sin(2 * Math.PI * 330.3 * t);
    data.writeInt16LE(Math.round(9000 * swell * tone), 44 + 4 * i);
    data.writeInt16LE(Math.round(7000 * swell * tone), 46 + 4 * i);
  }
  return data;
}

/** Where `part` lies in `whole`: [the first sample, the greatest error]. */
export function locate(part, whole) {
  let [best, error] = [-1, Infinity];
  for (let at = 0; at + part.length <= whole.length; at++) {
    let worst = 0;
    for (let n = 0; n < part.length && worst < error; n++) {
      const i = (n * 7919) % part.length; // far from the last one: neighbours differ little
      worst = Math.max(worst, Math.abs(part[i] - whole[at + i]));
    }
    if (worst < error) [best, error] = [at, worst];
  }
  return [best, error];
}
