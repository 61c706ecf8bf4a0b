// Runs main.js, an example of the documentation, as the script of a page. Arguments: Chromium, the
// service's address. The page is on the service's origin; beside it are the .ecdc files of this
// folder, the package `encodec-web`, and an <input type="file"> in which speech.wav is chosen.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [executablePath, url] = process.argv.slice(2);
const home = fileURLToPath(new URL("../../clients/page/package.json", import.meta.url));
const { chromium } = createRequire(home)("playwright-core");

const HTML = `<!doctype html>
<input type="file" id="input">
<script type="importmap">{ "imports": { "encodec-web": "/web/encodec/index.js" } }</script>`;
const MAIN = `${readFileSync("main.js", "utf8")}\nwindow.finished = true;`;

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
try {
  const page = await browser.newPage();
  const failed = new Promise((_, reject) => page.on("pageerror", reject));
  page.on("console", (message) => console.log(message.text()));
  await page.route("**/example.html", (route) => route.fulfill({ body: HTML, contentType: "text/html" }));
  await page.route("**/main.js", (route) =>
    route.fulfill({ body: MAIN, contentType: "text/javascript" }),
  );
  await page.route("**/*.ecdc", (route) => {
    route.fulfill({ body: readFileSync(`.${new URL(route.request().url()).pathname}`) });
  });
  await page.goto(`${url}/example.html`);
  await page.setInputFiles("input", "speech.wav");
  await page.addScriptTag({ url: "/main.js", type: "module" });
  await Promise.race([failed, page.waitForFunction(() => window.finished)]);
} finally {
  await browser.close();
}
