// Chromium with a tap on what it plays, a watch on the Content-Security-Policy, and a fake microphone.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const RATE = 48_000;
export const SERVICE = process.env.PAGE_SERVICE;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The browser that all tests share. */
export const launch = () =>
  chromium.launch({
    executablePath: process.env.PAGE_CHROMIUM,
    args: [
      "--no-sandbox",
      "--autoplay-policy=no-user-gesture-required",
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
    ],
  });

/** The page, ready to be used; `page.faults` are errors and violations of the policy. */
export async function open(browser, options = {}, url = SERVICE) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy|violates/.test(message.text())) page.faults.push(message.text());
  });
  await page.addInitScript(tap, RATE);
  await page.goto(url);
  return page;
}

/** Runs in the page: records what goes to the loudspeakers, in blocks. */
function tap() {
  window.heard = [];
  window.violations = [];
  addEventListener("securitypolicyviolation", ({ violatedDirective }) => window.violations.push(violatedDirective));
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target === this.context?.destination && !(this instanceof ScriptProcessorNode)) {
      const recorder = this.context.createScriptProcessor(16384, 2, 1);
      recorder.onaudioprocess = ({ inputBuffer }) =>
        window.heard.push({ samples: Array.from(inputBuffer.getChannelData(0)) });
      connect.call(this, recorder);
      connect.call(recorder, this.context.destination);
    }
    return connect.call(this, target, ...rest);
  };
}

/** The left channel of what was heard since `forget`, from its first sound on: `seconds` of it, or
 * all where none are given. */
export async function heard(page, seconds = 0) {
  await page.waitForFunction(
    (wanted) => {
      const blocks = window.heard;
      const first = blocks.findIndex(({ samples }) => samples.some((sample) => sample !== 0));
      return first >= 0 && (blocks.length - first - 1) * 16384 >= wanted;
    },
    seconds * RATE,
  );
  const blocks = await page.evaluate(() => window.heard);
  const samples = new Float32Array(blocks.length * 16384);
  blocks.forEach((block, i) => samples.set(block.samples, i * 16384));
  const start = samples.findIndex((sample) => sample !== 0);
  return samples.subarray(start, seconds ? start + seconds * RATE : samples.length);
}

export const forget = (page) => page.evaluate(() => void (window.heard = []));

/** Drop a file on the page, as a mouse does. */
export async function drop(page, bytes, name) {
  const transfer = await page.evaluateHandle(
    ([data, name]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
      return transfer;
    },
    [Buffer.from(bytes).toString("base64"), name],
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
