// The page in Chromium, against a running service. tests/clients/page/test_page.py starts both:
// PAGE_SERVICE and PAGE_KEYED_SERVICE are the services' addresses, PAGE_KEY is the key of the second,
// PAGE_CHROMIUM is the browser.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ELSEWHERE, RATE, RECORDED, SERVICE, answerLive, ask, close, decoded, drop, findings, forget, heard, launch, locate, open, tell, wav,
} from "./browser.mjs";

const RESULT = "#result:not([hidden])";
const OPENED = "#opened:not([hidden])";
const CLIP = wav(4);
const KEY = process.env.PAGE_KEY;
let browser;
let page;

before(async () => void (browser = await launch()));
after(async () => browser.close());
afterEach(async () => {
  const shown = page;
  page = null;
  if (shown) await close(shown);
});

/** Choose a radio button, as a click on its label does. */
const choose = (id, value) => page.locator(`#${id} label`, { has: page.locator(`input[value="${value}"]`) }).click();
/** Runs in the page: the microphone is lent after a while, and what was lent is kept. */
function slowMicrophone() {
  const { mediaDevices } = navigator;
  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  window.lent = [];
  window.asked = 0;
  mediaDevices.getUserMedia = async (wanted) => {
    window.asked++;
    await new Promise((resolve) => setTimeout(resolve, 800));
    const stream = await ask(wanted);
    window.lent.push(...stream.getTracks());
    return stream;
  };
}
const lent = (page) => page.evaluate(() => window.lent.map(({ readyState }) => readyState));
const listenTo = (id) => page.locator(`[data-track="${id}"]`).locator("visible=true").click();

test("a dropped file is compressed to the bytes of /compress, and sounds as /decompress says", async () => {
  page = await open(browser, RECORDED);
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector(RESULT);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#downloads button >> text=.ecdc")]);
  assert.equal(download.suggestedFilename(), "clip.ecdc");
  const ecdc = readFileSync(await download.path());
  const form = new FormData();
  form.append("file", new File([CLIP], "clip.wav"));
  const expected = await ask("compress?model=encodec_24khz&bandwidth=6&format=1", form);
  assert.ok(ecdc.equals(Buffer.from(expected)));
  assert.match(await page.textContent("#headline"), /kbps/);

  await listenTo("decoded");
  await forget(page);
  await page.click("#compress-transport .play");
  const [at, error] = locate((await heard(page, 2)).subarray(0.1 * RATE), await decoded(expected, 1));
  assert.ok(at > 0 && error < 1e-6, `error ${error} at ${at}`);
});

test("switching A and B keeps the place to the sample, without a gap", async () => {
  const clip = wav(15); // long enough for a slow machine
  page = await open(browser, RECORDED);
  await page.waitForSelector("#bandwidth input");
  await choose("model", "encodec_48khz");
  await drop(page, clip, "clip.wav");
  await page.waitForSelector(RESULT);
  await forget(page);
  await page.keyboard.press("a");
  await page.keyboard.press(" ");
  await heard(page, 1);
  await page.keyboard.press("b");
  const switched = (await heard(page)).length / RATE;
  const samples = await heard(page, Math.ceil(switched) + 1);

  const form = new FormData();
  form.append("file", new File([clip], "clip.wav"));
  const ecdc = await ask("compress?model=encodec_48khz&bandwidth=6&format=1", form);
  const second = await decoded(ecdc, 2);
  const first = Float32Array.from({ length: second.length }, (_, i) => clip.readInt16LE(44 + 4 * i) / 32768);
  const [early, late] = [0.2 * RATE, samples.length - 0.5 * RATE];
  const [atFirst, firstError] = locate(samples.subarray(early, early + 0.4 * RATE), first);
  const [atSecond, secondError] = locate(samples.subarray(late), second);
  assert.ok(firstError < 1e-3, `the original: error ${firstError}`); // 16 bits are scaled in two ways
  assert.ok(secondError < 1e-6, `decoded: error ${secondError}`);
  assert.equal(atSecond - atFirst, late - early);
  let silent = 0;
  for (let i = 1; i < samples.length; i++) {
    silent = samples[i] === 0 ? silent + 1 : 0;
    assert.ok(silent < 8, `silence at ${i / RATE} s`);
  }
});

test("the original and what was decoded are in step", async () => {
  page = await open(browser);
  await page.waitForSelector("#bandwidth input");
  await choose("model", "encodec_48khz");
  await page.click("#music");
  await page.waitForSelector(RESULT);
  const ratio = Number((await page.textContent("#facts")).match(/ratio(-?[\d.]+) dB/)[1]);
  assert.ok(ratio > 2, `signal-to-noise ratio of ${ratio} dB`); // below 0 where it is not in step
});

test("a long .ecdc file is sought in and decoded by parts alone, and peeled", async () => {
  page = await open(browser, RECORDED);
  const ecdc = await ask("compress?bandwidth=6&format=1", wav(65));
  const whole = await decoded(ecdc, 1);
  const parts = [];
  page.on("request", (request) => {
    if (request.url().includes("/decompress")) parts.push(new URL(request.url()).searchParams);
  });
  await drop(page, ecdc, "long.ecdc");
  await page.waitForSelector(OPENED);
  assert.match(await page.textContent("#file-facts"), /version 1/);
  await page.waitForFunction(() => { // the first part is seen before anything is played
    const { width, height } = document.getElementById("overview");
    const { data } = document.getElementById("overview").getContext("2d").getImageData(0.01 * width, 0, 0.1 * width, height);
    return data.filter((value, i) => i % 4 === 3 && value).length > width; // a line is 0.1 or 0.2 of that
  });
  await page.click("#file-transport .play");
  await page.waitForResponse(/decompress/);
  const sought = page.waitForResponse(/decompress.*start=29.95/);
  await page.locator("#file-transport input[type=range]").fill("38");
  await forget(page);
  await sought;
  const samples = await heard(page, 4); // past the joint of two parts, at 40 s
  const [at, error] = locate(samples.subarray(RATE / 2), whole.subarray(38 * RATE, 46 * RATE));
  assert.ok(error < 1e-6, `error ${error} at ${at}`);
  assert.ok(parts.length && parts.every((part) => part.has("start") && Number(part.get("end")) - Number(part.get("start")) < 11));
  assert.ok(parts.every((part) => Number(part.get("end")) < 61), "it was not decoded to its end");

  await choose("peel", "3");
  await page.waitForSelector("#peel-downloads button");
  await page.waitForFunction(() => document.querySelector('[data-track="peeled"] input')?.checked);
  await page.waitForTimeout(200); // the parts that are loaded are heard again
  await forget(page);
  const peeled = await decoded(await ask("transcode?bandwidth=3", ecdc), 1);
  const [, peeledError] = locate((await heard(page, 1)).subarray(RATE / 2), peeled.subarray(38 * RATE, 56 * RATE));
  assert.ok(peeledError < 1e-6, `peeled: error ${peeledError}`);
});

test("of several dropped files the first is taken, and the page says so", async () => {
  page = await open(browser);
  await drop(page, CLIP, "first.wav", "second.wav");
  await page.waitForSelector("text=One file at a time: first.wav of 2 files.");
  await page.waitForSelector(RESULT);
  assert.equal(await page.textContent("#clip-title"), "first.wav");
  await drop(page, CLIP, "third.wav");
  await page.waitForSelector("#several", { state: "hidden" });
});

test("the original is that of the clip that was taken last", async () => {
  page = await open(browser, RECORDED);
  await page.waitForSelector("#bandwidth input", { state: "attached" });
  await page.evaluate(() => { // the first clip is read when the second has long been
    const read = OfflineAudioContext.prototype.decodeAudioData;
    OfflineAudioContext.prototype.decodeAudioData = async function (data) {
      OfflineAudioContext.prototype.decodeAudioData = read;
      await new Promise((resolve) => (window.goOn = resolve));
      return read.call(this, data);
    };
  });
  const second = Buffer.from(CLIP);
  for (let i = 44; i < second.length; i += 2) second.writeInt16LE(-second.readInt16LE(i), i);
  await drop(page, CLIP, "first.wav");
  await page.waitForFunction(() => window.goOn);
  await drop(page, second, "second.wav");
  await page.waitForSelector(RESULT);
  await page.evaluate(() => window.goOn());
  await page.waitForTimeout(300);
  await choose("bandwidth", "12");
  await page.waitForSelector(`${RESULT}:not(.stale)`);
  await listenTo("original");
  await forget(page);
  await page.click("#compress-transport .play");
  const left = Float32Array.from({ length: second.length / 4 - 11 }, (_, i) => second.readInt16LE(44 + 4 * i) / 32768);
  const [, error] = locate((await heard(page, 1)).subarray(RATE / 2), left);
  assert.ok(error < 1e-3, `error ${error}`);
});

test("a folder cannot be read, and the page says so", async () => {
  page = await open(browser);
  await page.evaluate(() => (Blob.prototype.text = () => Promise.reject(new DOMException("gone", "NotFoundError"))));
  await drop(page, Buffer.alloc(0), "recordings");
  await page.waitForSelector("text=recordings cannot be read. Folders cannot be opened, only files.");
});

test("a file that was changed on the disk cannot be read, and sizes have no exponents", async () => {
  page = await open(browser);
  await page.waitForSelector("#bandwidth input", { state: "attached" });
  await drop(page, Buffer.alloc(999_700), "zeros");
  await page.waitForSelector("text=1.00 MB");
  const short = Buffer.concat([CLIP.subarray(0, 44), Buffer.alloc(40, 128)]); // less than its .ecdc file
  [[4, 76], [24, 4000], [28, 4000], [40, 40]].forEach(([at, value]) => short.writeUInt32LE(value, at));
  [[22, 1], [32, 1], [34, 8]].forEach(([at, value]) => short.writeUInt16LE(value, at));
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  writeFileSync(join(folder, "short.wav"), short);
  await page.setInputFiles("#file", join(folder, "short.wav"));
  await page.waitForSelector(RESULT);
  assert.match(await page.textContent("#headline"), / B, \d{3} % of the file/);
  writeFileSync(join(folder, "short.wav"), CLIP);
  utimesSync(join(folder, "short.wav"), 1, 1); // the browser looks at whole seconds
  await choose("bandwidth", "3");
  await page.waitForSelector("#compress-problem >> text=The file cannot be read any more");
  rmSync(folder, { recursive: true });
});

test("a download goes on while something else is compressed", async () => {
  page = await open(browser);
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector(RESULT);
  let answer;
  const asked = new Promise((resolve) => (answer = resolve));
  await page.route("**/decompress?output=wav", (route) => answer(route));
  await page.click("#downloads >> text=WAV");
  const route = await asked;
  await choose("bandwidth", "3");
  await page.waitForSelector(`${RESULT}:not(.stale)`);
  const [download] = await Promise.all([page.waitForEvent("download"), route.continue()]);
  assert.equal(download.suggestedFilename(), "clip.wav");
});

test("a file of one lower rate is peeled by keys, and stays so where it is decoded elsewhere", async () => {
  page = await open(browser);
  await drop(page, await ask("compress?bandwidth=3&format=1", CLIP), "low.ecdc");
  await page.waitForSelector(OPENED);
  await page.focus("#peel input");
  await page.keyboard.press(" ");
  await page.waitForSelector("#peel-downloads button");
  await page.route("**/encodec/index.js*", (route) => route.abort()); // nothing is heard here
  await choose("file-decode", "here");
  assert.equal(await page.inputValue("#peel input:checked"), "1.5");
  assert.equal(await page.inputValue("#file-transport input:checked"), "peeled");

  await drop(page, Buffer.from("ECDC, and nothing that was ever coded"), "bad.ecdc");
  await page.waitForSelector("#file-problem [role=alert]");
  await page.click("#tab-compress");
  await choose("decode", "server");
  await page.click("#tab-file");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press(" "); // the file before is not heard any more
  assert.equal(await page.getAttribute("#file-transport .play", "aria-label"), "Play");
});

test("of a silent clip no quality is told", async () => {
  page = await open(browser);
  await page.waitForSelector("#bandwidth input");
  await choose("model", "encodec_48khz");
  await drop(page, wav(1).fill(0, 44), "silent.wav");
  await page.waitForSelector(RESULT);
  assert.match(await page.textContent("#facts"), /noise ratio– dBLog-spectral distance– dB/);
});

test("a problem is shown as the service says it", async () => {
  page = await open(browser);
  await drop(page, Buffer.from("this is no audio at all"), "notes.txt");
  const alert = page.locator("#compress-problem [role=alert]");
  await alert.waitFor();
  const text = await alert.textContent();
  assert.match(text, /The audio cannot be decoded/);
  assert.match(text, /undecodable_audio · status 400 · request [0-9a-f]{32}/);
  await page.click("text=Dismiss");
  assert.equal(await alert.count(), 0);
});

test("a damaged .ecdc file says so, and what is intact of it can be heard", async () => {
  page = await open(browser);
  const ecdc = Buffer.from(await ask("compress?bandwidth=6&format=1", wav(5)));
  ecdc[Math.floor(ecdc.length / 2)] ^= 0xff;
  const first = page.waitForResponse(/decompress.*salvage=true/);
  await drop(page, ecdc, "damaged.ecdc");
  await page.waitForSelector(OPENED);
  const facts = await page.textContent("#file-facts");
  assert.match(facts, /Length0:05\.00Size[\d.]+ kB, 6\.\d\d kbps.*IntactnoLost1\.\d\d s, in 1 place/);
  assert.equal(await page.getAttribute("#file-transport input[type=range]", "max"), "5");
  assert.equal((await first).status(), 200);
  await page.click("#file-transport .play");
  await page.waitForFunction(() => Number(document.querySelector("#file-transport input[type=range]").value) > 0.5);
});

test("where the service is full the page asks again after Retry-After", async () => {
  page = await open(browser);
  let refused = 0;
  await page.route("**/compress?*", async (route) => {
    if (refused++) return route.continue();
    const problem = { title: "The service is full", detail: "later", status: 429, code: "busy" };
    await route.fulfill({ status: 429, headers: { "Retry-After": "1" }, contentType: "application/problem+json", body: JSON.stringify(problem) });
  });
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector("text=The service is full: again in 1 s");
  await page.waitForSelector(RESULT);
  assert.equal(refused, 2);
});

test("what runs can be cancelled", async () => {
  page = await open(browser);
  await page.route("**/compress?*", () => {}); // never answered
  await drop(page, CLIP, "clip.wav");
  const failed = page.waitForEvent("requestfailed");
  await page.click("#compress-progress button");
  await failed;
  await page.waitForFunction(() => !document.querySelector("#compress-progress").hasChildNodes());
  assert.equal(await page.textContent("#status"), "Cancelled");
  assert.equal(await page.locator("[role=alert]:visible").count(), 0);
  await page.unroute("**/compress?*");
  await choose("bandwidth", "3");
  await page.waitForSelector(`${RESULT}:not(.stale)`);
  await page.route("**/compress?*", () => {});
  await choose("bandwidth", "6");
  await page.click("#compress-progress button");
  await page.waitForSelector(`${RESULT}.stale`); // it is of 3 kbps
});

test("a key is asked for where the service wants one, and what wanted it is done", async () => {
  page = await open(browser, {}, process.env.PAGE_KEYED_SERVICE);
  await page.waitForSelector("#key:focus");
  assert.ok(await page.isDisabled("#speak"));
  await drop(page, await ask("compress?format=1", CLIP), "clip.ecdc");
  await page.waitForSelector("#file-problem [role=alert]");
  await page.fill("#key", KEY);
  await page.keyboard.press("Enter");
  await page.waitForSelector(OPENED);
  await page.waitForSelector("#speak:enabled", { state: "attached" });
  assert.equal(await page.locator("[role=alert]:visible").count(), 0);
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector(RESULT);
});

test("a clip that was chosen before there was a key is compressed after it", async () => {
  page = await open(browser, {}, process.env.PAGE_KEYED_SERVICE);
  await page.waitForSelector("#key:focus");
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector("text=clip.wav");
  await page.fill("#key", KEY);
  await page.press("#key", "Enter");
  await page.waitForSelector(RESULT);
});

test("what the browser cannot read is compressed and heard all the same", async () => {
  page = await open(browser, RECORDED);
  const head = Buffer.alloc(24);
  head.write(".snd");
  [24, 0xffffffff, 3, RATE, 2].forEach((value, i) => head.writeUInt32BE(value, 4 + 4 * i)); // Sun audio
  await drop(page, Buffer.concat([head, Buffer.from(CLIP.subarray(44)).swap16()]), "clip.au");
  await page.waitForSelector(RESULT);
  assert.match(await page.textContent("#too-long"), /cannot read the file/);
  await forget(page);
  await page.route("**/decompress?*", (route) => route.abort(), { times: 1 });
  await page.click("#compress-transport .play");
  await page.click("#compress-problem [role=alert] >> text=Try again");
  assert.ok((await heard(page, 1)).some((sample) => Math.abs(sample) > 0.05));
  await page.click("#music"); // and what it can read, after that, is compared
  await page.waitForSelector('[data-track="difference"]');
});

test("a recording is compressed", async () => {
  page = await open(browser);
  await page.waitForSelector("#bandwidth input", { state: "attached" });
  await page.click("#record");
  await page.waitForSelector("#record[aria-pressed=true]");
  await page.waitForTimeout(1500);
  await page.click("#record");
  await page.waitForSelector(RESULT);
  assert.equal(await page.textContent("#clip-title"), "recording.webm");
});

test("a double click records once, and ends that", async () => {
  page = await open(browser);
  await page.waitForSelector("#bandwidth input", { state: "attached" });
  await page.evaluate(slowMicrophone);
  await page.dblclick("#record");
  await page.waitForSelector("#record[aria-pressed=true]");
  await page.waitForTimeout(1500);
  assert.deepEqual(await lent(page), ["live"]);
  let compress;
  const asked = new Promise((resolve) => (compress = resolve));
  await page.route("**/compress?*", (route) => compress(route), { times: 1 });
  await page.click("#record");
  const route = await asked;
  await page.dispatchEvent("#record", "click", { detail: 2 }); // the second one of a slow double click
  assert.equal(await page.textContent("#record"), "Record"); // while it is compressed
  await route.continue();
  await page.waitForSelector(RESULT);
  assert.equal(await page.evaluate(() => window.asked), 1);
  assert.deepEqual(await lent(page), ["ended"]);
});

test("what was recorded before the microphone went away is compressed", async () => {
  page = await open(browser);
  await page.waitForSelector("#bandwidth input", { state: "attached" });
  await page.evaluate(slowMicrophone);
  await page.click("#record");
  await page.waitForSelector("#record[aria-pressed=true]");
  await page.waitForTimeout(1000);
  await page.evaluate(() => window.lent[0].stop());
  await page.waitForSelector(RESULT);
  assert.equal(await page.textContent("#record"), "Record");
});

test("who cancels while the microphone is asked for does not go on air", async () => {
  page = await open(browser);
  await page.click("#tab-live");
  await page.evaluate(slowMicrophone);
  await page.click("#speak");
  await page.click("#live-progress button");
  await page.waitForFunction(() => !document.querySelector("#live-progress").hasChildNodes());
  assert.deepEqual(await lent(page), []);
  await page.waitForFunction(() => window.lent.length);
  assert.deepEqual(await lent(page), ["ended"]);
  assert.equal(await page.textContent("#speak"), "Speak");
});

test("quality is measured at every bandwidth", async () => {
  page = await open(browser);
  await page.click("#speech");
  await page.waitForSelector(RESULT);
  await page.click("text=Measure all bandwidths");
  await page.waitForFunction(() => document.querySelectorAll("#curve tbody tr").length === 5);
  const rows = await page.locator("#curve tbody tr").allTextContents();
  assert.deepEqual(rows.map((row) => row.match(/^(1\.5|3|6|12|24)/)[1]), ["1.5", "3", "6", "12", "24"]);
  assert.ok(await page.locator("#curve canvas").isVisible());
});

test("keys play, pause, seek and switch", async () => {
  page = await open(browser);
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector(RESULT);
  const selected = () => page.locator("#compress-transport input:checked").inputValue();
  for (const [key, track] of [["b", "decoded"], ["d", "difference"], ["a", "original"]]) {
    await page.keyboard.press(key);
    assert.equal(await selected(), track);
  }
  const label = () => page.getAttribute("#compress-transport .play", "aria-label");
  await page.keyboard.press(" ");
  assert.equal(await label(), "Pause");
  await page.keyboard.press(" ");
  assert.equal(await label(), "Play");
  const position = async () => Number(await page.inputValue("#compress-transport input[type=range]"));
  await page.keyboard.press("ArrowRight");
  assert.equal(await position(), 4);
  await page.keyboard.press("Home");
  assert.equal(await position(), 0);
});

for (const colorScheme of ["light", "dark"])
  test(`axe finds nothing serious, ${colorScheme}`, async () => {
    page = await open(browser, { colorScheme });
    await page.waitForSelector("#bandwidth input", { state: "attached" });
    assert.deepEqual(await findings(page), []);
    await drop(page, CLIP, "clip.wav");
    await page.waitForSelector(RESULT);
    await page.click("text=Measure all bandwidths");
    await page.waitForFunction(() => document.querySelectorAll("#curve tbody tr").length === 5);
    assert.deepEqual(await findings(page), []);
    await page.click("text=Open and peel");
    await page.waitForSelector(OPENED);
    await choose("peel", "3");
    await page.waitForSelector("#peel-downloads button");
    assert.deepEqual(await findings(page), []);
    await drop(page, Buffer.from("no audio"), "notes.txt");
    await page.waitForSelector("#compress-problem [role=alert]");
    assert.deepEqual(await findings(page), []);
  });

test("it fits a phone", async () => {
  page = await open(browser, { viewport: { width: 360, height: 700 }, isMobile: true, hasTouch: true });
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.equal(await overflow(), 0);
  await drop(page, CLIP, "clip.wav");
  await page.waitForSelector(RESULT);
  assert.equal(await overflow(), 0);
  await page.click("text=Open and peel");
  await page.waitForSelector(OPENED);
  assert.equal(await overflow(), 0);
  await page.click("#tab-live");
  assert.equal(await overflow(), 0);
});

test("the colours can be chosen", async () => {
  page = await open(browser, { colorScheme: "light" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.click("#theme-button");
  assert.equal(await background(), light);
  await page.click("#theme-button");
  assert.notEqual(await background(), light);
});

test("everything comes from the service, and the policy lets the page decode here and speak", async () => {
  page = await open(browser);
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).origin));
  await page.reload();
  await page.waitForSelector("#bandwidth input", { state: "attached" });
  await choose("decode", "here");
  await page.click("#speech");
  await page.waitForSelector(RESULT);
  await page.click("#tab-live");
  await page.click("#speak");
  await page.waitForSelector("text=/On air0:0[2-9]/");
  hosts.delete("null"); // blob: and data:
  assert.deepEqual([...hosts].filter((host) => !host.startsWith("blob")), [new URL(SERVICE).origin]);
});

test("what is spoken comes back, reaches a listener by the link, and is kept as a file", async () => {
  page = await open(browser, RECORDED);
  await page.click("#tab-live");
  await page.check("#hear-self");
  await page.click("#speak");
  await page.waitForSelector("#live-facts:not([hidden])");
  const mine = await heard(page, 2);
  assert.ok(mine.some((sample) => Math.abs(sample) > 0.01));

  const listener = await open(browser, RECORDED, await page.inputValue("#link"));
  await listener.click("#listen");
  await listener.waitForSelector("text=/Live: 0:0[2-9] heard/");
  assert.ok((await heard(listener, 1)).some((sample) => Math.abs(sample) > 0.01));
  await page.waitForSelector("text=/Rate[67]\\.\\d\\d kbpsOthers who listen1/");
  assert.deepEqual(await findings(page), []);
  assert.deepEqual(await findings(listener), []);

  await page.evaluate(() => (location.hash = "#listen=somebody-else"));
  await page.waitForSelector("#listen-card");
  assert.equal(await page.textContent("#speak-card #speak"), "Stop");
  assert.ok(await page.isVisible("#speak")); // who is on air sees it

  await page.click("#speak");
  await listener.waitForSelector("text=The speaker has left.");
  assert.deepEqual(listener.faults, []);
  await listener.context().close();
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("text=Save what was said")]);
  const ecdc = readFileSync(await download.path());
  const said = JSON.parse(Buffer.from(await ask("inspect", ecdc)));
  assert.ok(said.intact && said.bandwidth_kbps === 6 && said.duration_seconds > 4, JSON.stringify(said));
});

test("a stream is heard to its end, and so is the next; another link is another stream", async () => {
  page = await open(browser, RECORDED, `${SERVICE}#listen=talk`);
  let [socket, waiting] = [null, true];
  await answerLive(page, (opened) => tell((socket = opened), { type: "ready", waiting }));
  for (const state of ["Waiting for the speaker", "Connected"]) {
    await forget(page);
    await page.click("#listen");
    await page.waitForSelector(`#listen-state >> text=${state}`);
    const length = 0.4 * Number(new URL(socket.url()).searchParams.get("sample_rate"));
    tell(socket, Buffer.from(new Float32Array(length).fill(0.25).buffer), { type: "end" });
    await socket.close({ code: 1000 });
    await page.waitForSelector("text=The speaker has left.");
    const sounds = (await heard(page, 0.45)).filter((sample) => sample !== 0);
    assert.equal(sounds.length, length);
    waiting = false;
  }
  await page.click("#listen");
  await page.waitForSelector("#listen[aria-pressed=true]");
  await page.evaluate(() => (location.hash = "#listen=other"));
  await page.waitForSelector("#listen[aria-pressed=false]");
  await page.click("#listen");
  await page.waitForSelector("#listen[aria-pressed=true]");
  assert.match(socket.url(), /relay\/other/);
  tell(socket, { type: "end" });
  await socket.close({ code: 1012 });
  await page.waitForSelector("#live-problem >> text=The service stops");
  assert.equal(await page.textContent("#listen-state"), "");
});

test("who speaks is told what is cut off, and that the service stops", async () => {
  page = await open(browser);
  const sockets = {};
  await answerLive(page, (socket, kind) => tell((sockets[kind] = socket), { type: "ready" }));
  await page.click("#tab-live");
  await page.click("#speak");
  await page.waitForSelector("#live-facts:not([hidden])");
  tell(sockets.f32, { type: "error", problem: { title: "Too slow", detail: "nothing was read", code: "client_too_slow", status: 408 } });
  await sockets.f32.close({ code: 4408 });
  await page.waitForSelector("#live-problem >> text=You do not hear yourself any more");
  tell(sockets.ecdc, { type: "progress", sent: 1500, samples: 48_000 });
  tell(sockets.speak, { type: "progress", listeners: 3, step_ms: 2 });
  await page.waitForSelector("text=/Rate6.00 kbpsOthers who listen2/");
  tell(sockets.speak, { type: "end" });
  await sockets.speak.close({ code: 1012 });
  await page.waitForSelector("#live-problem >> text=The service stops");
  assert.equal(await page.textContent("#speak"), "Speak");
});

test("connecting can be cancelled", async () => {
  page = await open(browser, {}, `${SERVICE}#listen=talk`);
  let sockets = 0;
  await answerLive(page, () => void sockets++); // and says nothing
  const cancelled = async () => {
    await page.click("#live-progress button");
    await page.waitForFunction(() => !document.querySelector("#live-progress").hasChildNodes());
  };
  await page.evaluate(() => { // the worklet is not answered, once
    const { addModule } = AudioWorklet.prototype;
    AudioWorklet.prototype.addModule = () => {
      AudioWorklet.prototype.addModule = addModule;
      return new Promise(() => {});
    };
  });
  await page.click("#listen");
  await cancelled();
  await page.click("#listen");
  while (sockets < 1) await page.waitForTimeout(20);
  await cancelled();
  await page.goto(`${SERVICE}/?`);
  await page.click("#tab-live");
  await page.click("#speak");
  while (sockets < 3) await page.waitForTimeout(20);
  await cancelled();
  assert.equal(await page.textContent("#speak"), "Speak");
});

test("over plain HTTP the page says what live audio takes", async () => {
  page = await open(browser, {}, `http://${ELSEWHERE}:${new URL(SERVICE).port}/#listen=talk`);
  await page.click("#listen");
  await page.waitForSelector("#live-problem >> text=Browsers play live audio only from https and localhost.");
});

for (const [model, channels, tolerance] of [["encodec_48khz", 2, 1e-5], ["encodec_24khz", 1, 1e-3]])
  test(`a file of ${model} is decoded in the browser, with no request but for the weights`, async () => {
    page = await open(browser, RECORDED);
    const ecdc = await ask(`compress?model=${model}&bandwidth=6&format=1`, wav(12));
    const whole = await decoded(ecdc, channels);
    await drop(page, ecdc, "here.ecdc");
    await page.waitForSelector(OPENED);
    const requests = []; // from the choice on: the first part was decoded on the server, to be seen
    page.on("request", (request) => requests.push(new URL(request.url()).pathname));
    await choose("file-decode", "here");
    await page.click("#file-transport .play");
    const [at, error] = locate((await heard(page, 2)).subarray(0.1 * RATE), whole);
    assert.ok(at > 0 && error < tolerance, `error ${error} at ${at}`);
    await page.click("#file-transport .play");
    assert.ok(requests.some((path) => path.endsWith("/weights")), requests.join(" "));
    assert.ok(!requests.includes("/decompress"));
    requests.length = 0;
    await page.locator("#file-transport input[type=range]").fill("3");
    await forget(page);
    await page.click("#file-transport .play");
    const [later] = locate((await heard(page, 1.2)).subarray(0.5 * RATE), whole); // what was heard before may come first
    assert.ok(later / RATE > 3, `sought to 3 s, at ${later / RATE} s`);
    assert.deepEqual(requests, []);
  });

test("a decoder that could not be loaded is loaded when it is asked for again", async () => {
  page = await open(browser, RECORDED);
  await drop(page, await ask("compress?bandwidth=6&format=1", CLIP), "here.ecdc");
  await page.waitForSelector(OPENED);
  await page.route("**/encodec/index.js*", (route) => route.abort(), { times: 2 }); // looking ahead, and playing
  await choose("file-decode", "here");
  await page.click("#file-transport .play");
  await page.click("text=Try again");
  assert.ok((await heard(page, 1)).some((sample) => Math.abs(sample) > 0.01));
  assert.equal(await page.locator("[role=alert]:visible").count(), 0);
});
