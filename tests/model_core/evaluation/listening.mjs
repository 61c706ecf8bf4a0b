// The page for listening tests in Chromium, for `test_listening.py`: LISTEN_FOLDER is what
// `encodec-eval --listen` wrote, LISTEN_URL where it is served, LISTEN_JSON where the results go.
import assert from "node:assert/strict";
import { copyFileSync, readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { RECORDED, close, findings, forget, heard, launch, locate, open } from "../../../clients/page/tests/browser.mjs";

const { LISTEN_FOLDER, LISTEN_URL, LISTEN_JSON } = process.env;
const FROM_DISK = pathToFileURL(`${LISTEN_FOLDER}/index.html`).href;
const EXACT = 1e-4; // 16 bits, and what a browser makes of them
const data = JSON.parse(readFileSync(`${LISTEN_FOLDER}/index.html`, "utf8").match(/id="data" type="application\/json">(.*?)<\/script>/s)[1]);
const title = ({ system, kbps }) => (kbps === null ? system : `${system}, ${kbps} kbps`);
let browser;
let page;

before(async () => void (browser = await launch()));
after(async () => browser.close());
afterEach(async () => {
  const shown = page;
  page = null;
  if (shown) await close(shown);
});

const loaded = () => page.waitForFunction(() => document.querySelector("#status").textContent !== "Loading …" && document.querySelector("#position").max > 0);
const trial = (number) => page.waitForFunction((n) => document.querySelector("#now").textContent.startsWith(`Trial ${n} `), number);

/** The samples of a version of a clip, as the browser decodes them. */
async function samples(number, wanted) {
  const { versions } = data.clips.find((clip) => clip.number === number);
  const place = versions.findIndex((version) => title(version) === wanted);
  const script = readFileSync(`${LISTEN_FOLDER}/clips/${number}.js`, "utf8");
  const base64 = JSON.parse(script.slice(script.indexOf("["), script.lastIndexOf("]") + 1))[place];
  const values = await page.evaluate(
    async ([text, rate]) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer);
      return [...buffer.getChannelData(0)];
    },
    [base64, data.sample_rate],
  );
  return Float32Array.from(values);
}

async function begin(settings) {
  for (const [id, value] of Object.entries(settings))
    await (id === "trials" ? page.fill("#trials", value) : page.selectOption(`#${id}`, value));
  await page.click("#form button");
  await trial(1);
}

test("from a disk it plays, asks for nothing from elsewhere, and shows names as text", async () => {
  const asked = [];
  page = await open(browser, {}, "about:blank");
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(FROM_DISK);
  await loaded();
  const names = await page.locator("#clip option").allTextContents();
  assert.deepEqual(names, data.clips.map(({ category, name }) => `${category}: ${name}`));
  assert.ok(names.some((name) => name.includes("<b>")));
  assert.equal(await page.locator("b, img").count(), 0);
  assert.equal(await page.evaluate(() => window.harmed), undefined);
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#position").value > 0.3);
  await page.selectOption("#clip", String(data.clips.at(-1).number));
  await loaded();
  await page.keyboard.press("Tab");
  await page.click("#play");
  await page.waitForFunction(() => document.querySelector("#play").textContent === "Stop");
  assert.ok(asked.length > 1);
  assert.deepEqual(asked.filter((url) => !url.startsWith("file:")), []);
});

test("switching while it plays keeps the place to the sample, without a gap", async () => {
  page = await open(browser, RECORDED, LISTEN_URL);
  await loaded();
  const names = data.clips[0].versions.map(title);
  const [first, second] = [names[0], names.at(-1)];
  await page.locator(`input[value="${first}"]`).check({ force: true });
  await forget(page);
  await page.click("#play");
  await heard(page, 0.3);
  await page.locator(`input[value="${second}"]`).check({ force: true });
  const switched = (await heard(page)).length;
  const sound = await heard(page, (switched + 0.6 * data.sample_rate) / 48_000);
  const [early, late, length] = [0.05 * data.sample_rate, sound.length - 0.2 * data.sample_rate, 0.15 * data.sample_rate];
  const [atFirst, firstError] = locate(sound.subarray(early, early + length), await samples(1, first));
  const [atSecond, secondError] = locate(sound.subarray(late, late + length), await samples(1, second));
  assert.ok(firstError < EXACT, `the first: error ${firstError}`);
  assert.ok(secondError < EXACT, `the second: error ${secondError}`);
  assert.equal(atSecond - atFirst, late - early);
  let silent = 0;
  for (let i = 1; i < sound.length; i++) {
    silent = sound[i] === 0 ? silent + 1 : 0;
    assert.ok(silent < 24, `silence at ${i / data.sample_rate} s`);
  }
});

test("a part is repeated, and stays repeated for other versions", async () => {
  page = await open(browser, {}, LISTEN_URL);
  await loaded();
  await page.evaluate(() => {
    const slider = document.querySelector("#position");
    const seek = (value) => Object.assign(slider, { value }).dispatchEvent(new Event("input"));
    seek(0.5);
    document.querySelector("#from").click();
    seek(0.8);
    document.querySelector("#to").click();
  });
  await page.click("#play");
  const times = await page.evaluate(async () => {
    const seen = [];
    for (let i = 0; i < 60; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      seen.push(Number(document.querySelector("#position").value));
      if (i === 30) [...document.querySelectorAll('[name="version"]')].at(-1).click();
    }
    return seen;
  });
  assert.ok(Math.min(...times) >= 0.49 && Math.max(...times) <= 0.81, String(times));
  assert.ok(times.some((time, i) => i && time < times[i - 1] - 0.1), "it begins again");
});

test("a whole set, with the keyboard: X is what was drawn, and nothing on the page tells it", async () => {
  page = await open(browser, RECORDED, "about:blank");
  await page.addInitScript(() => {
    window.words = [];
    const get = crypto.getRandomValues.bind(crypto);
    crypto.getRandomValues = (array) => {
      window.words.push(get(array)[0]);
      return array;
    };
    Math.random = () => {
      throw new Error("a draw that is not a secure one");
    };
  });
  await page.goto(LISTEN_URL);
  await loaded();
  const names = data.clips[0].versions.map(title);
  const [a, b, trials] = [names[0], names[1], 10];
  await begin({ a, b, which: "drawn", trials: String(trials) });
  const seen = { a: new Set(), b: new Set() };
  const truth = [];
  for (let i = 0; i < trials; i++) {
    await trial(i + 1);
    const shown = await page.textContent("#status");
    const number = data.clips.find(({ name }) => shown.includes(`: ${name}. A is`)).number;
    await page.keyboard.press("1"); // not heard yet: no answer
    assert.ok((await page.textContent("#now")).startsWith(`Trial ${i + 1} of ${trials}`));
    await page.waitForTimeout(400); // until what was heard before has come
    await forget(page);
    await page.keyboard.press("x");
    const sound = await heard(page, 0.2);
    const part = sound.subarray(0.1 * data.sample_rate, 0.3 * data.sample_rate);
    const errors = [];
    for (const name of [a, b]) errors.push(locate(part, (await samples(number, name)).subarray(0, data.sample_rate))[1]);
    assert.ok(Math.min(...errors) < EXACT && Math.max(...errors) > 10 * EXACT, `${errors}`);
    const x = errors[0] < errors[1] ? "a" : "b";
    truth.push({ clip: data.clips.find((each) => each.number === number).name, x });
    seen[x].add(await page.evaluate(() => document.body.outerHTML.replace(/id="(time|status|now)"[^]*?<\//g, "")));
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage)), "{}");
    const right = x === "a" ? "1" : "2";
    const wrong = x === "a" ? "2" : "1";
    if (i === 4) for (const key of ["a", "b", "x"]) await page.keyboard.press(key);
    assert.equal(await page.isVisible("#results"), false);
    await page.keyboard.press(i < 8 ? right : wrong);
  }
  assert.equal(new Set([...seen.a, ...seen.b]).size, 1);
  await page.waitForSelector("#results:not([hidden])");
  assert.match(await page.textContent("#outcome"), /^8 of 10 right\. .* 0\.055\./);

  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  copyFileSync(await download.path(), LISTEN_JSON);
  const { sets, page: id } = JSON.parse(readFileSync(LISTEN_JSON, "utf8"));
  assert.equal(id, data.id);
  assert.deepEqual([sets.length, sets[0].a, sets[0].b, sets[0].right], [1, a, b, 8]);
  assert.deepEqual(sets[0].trials.map(({ clip, x }) => ({ clip, x })), truth);
  const words = await page.evaluate(() => window.words);
  assert.equal(words.length, 2 * trials);
  const drawn = sets[0].trials.map((_, i) => ({ clip: data.clips[words[2 * i] % data.clips.length].name, x: "ab"[words[2 * i + 1] % 2] }));
  assert.deepEqual(drawn, truth);

  await page.reload();
  await loaded();
  assert.equal(await page.locator("#sets tr").count(), 1);
  await page.click("#forget");
  assert.equal(await page.isVisible("#results"), false);
});

test("a set that is left leaves nothing", async () => {
  page = await open(browser, {}, LISTEN_URL);
  await loaded();
  await page.selectOption("#b", { index: 0 });
  await page.click("#form button");
  assert.equal(await page.textContent("#status"), "Choose two that differ.");
  await page.selectOption("#b", { index: 2 });
  await begin({});
  await page.click('[data-hear="x"]');
  await page.click('[data-answer="a"]');
  await trial(2);
  await page.click("#leave");
  await loaded();
  assert.equal(await page.isVisible("#results"), false);
  assert.equal(await page.evaluate(() => JSON.stringify(localStorage)), "{}");
  assert.equal(await page.textContent("#now"), "Listen");
});

for (const colorScheme of ["light", "dark"])
  test(`it is accessible and fits a phone, ${colorScheme}`, async () => {
    const phone = { viewport: { width: 360, height: 740 }, colorScheme, bypassCSP: true, hasTouch: true };
    page = await open(browser, phone, LISTEN_URL);
    await loaded();
    const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    assert.deepEqual(await findings(page), []);
    assert.ok(await fits());
    if (process.env.LISTEN_PICTURES) await page.screenshot({ path: `${process.env.LISTEN_PICTURES}/${colorScheme}.png`, fullPage: true });
    await begin({});
    await page.tap('[data-hear="x"]');
    assert.deepEqual(await findings(page), []);
    assert.ok(await fits());
    if (process.env.LISTEN_PICTURES) await page.screenshot({ path: `${process.env.LISTEN_PICTURES}/${colorScheme}-test.png`, fullPage: true });
  });

test("the chance of guessing, and fair draws", async () => {
  const source = readFileSync(new URL("../../../model_core/evaluation/page/chance.js", import.meta.url), "utf8");
  const { byGuessing, draw } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
  const choose = (n, k) => (k === 0 ? 1n : (choose(n, k - 1) * BigInt(n - k + 1)) / BigInt(k));
  for (let n = 1; n <= 16; n++)
    for (let right = 0; right <= n; right++) {
      let ways = 0n;
      for (let k = right; k <= n; k++) ways += choose(n, k);
      assert.equal(byGuessing(right, n), Number(ways) / 2 ** n);
    }
  const counts = [0, 0, 0];
  for (let i = 0; i < 3000; i++) counts[draw(3)]++;
  assert.ok(counts.every((count) => Math.abs(count - 1000) < 160), String(counts)); // 6 deviations
});
