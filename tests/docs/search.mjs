// Searches the built site for "salvage" and prints what the list of results says. Arguments:
// Chromium, the address of a page. Fails where the page asks for anything but files.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const [executablePath, url] = process.argv.slice(2);
const home = fileURLToPath(new URL("../../clients/page/package.json", import.meta.url));
const { chromium } = createRequire(home)("playwright-core");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const foreign = [];
  page.on("request", (request) => {
    if (!/^(file|data|blob|about):/.test(request.url())) foreign.push(request.url());
  });
  await page.goto(url);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("salvage");
  const found = page.getByText("Damaged files").first();
  await found.waitFor();
  console.log(await found.textContent());
  if (foreign.length > 0) throw new Error(`asked for ${foreign}`);
} finally {
  await browser.close();
}
