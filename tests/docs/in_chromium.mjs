// Runs main.js, an example of the documentation, in a page of the service. Arguments: Chromium, the
// service's address. The page has an <input type="file"> in which speech.wav is chosen.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [executablePath, url] = process.argv.slice(2);
const home = fileURLToPath(new URL("../../clients/page/package.json", import.meta.url));
const { chromium } = createRequire(home)("playwright-core");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  page.on("console", (message) => console.log(message.text()));
  await page.goto(`${url}/health/live`);
  await page.evaluate(() => {
    document.body.innerHTML = '<input type="file">';
  });
  await page.setInputFiles("input", "speech.wav");
  await page.evaluate(`(async () => {\n${readFileSync("main.js", "utf8")}\n})()`);
  if (errors.length > 0) throw errors[0];
} finally {
  await browser.close();
}
