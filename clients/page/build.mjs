// Builds the page into service/web: `npm ci && npm run build`. The same sources give the same bytes.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const OUT = new URL("../../service/web/", import.meta.url).pathname;
const HERE = new URL(".", import.meta.url).pathname;
process.chdir(HERE);

const files = new Map(); // name as the page's sources know it -> name as it is served
mkdirSync(OUT, { recursive: true });
for (const entry of readdirSync(OUT, { withFileTypes: true }))
  if (entry.isFile()) rmSync(join(OUT, entry.name)); // folders are not of this build

/** Write a file under a name that has a hash of its contents. */
function emit(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  const [stem, suffix] = name.split(/\.(?=[^.]*$)/);
  const served = `${stem}-${hash}.${suffix}`;
  writeFileSync(join(OUT, served), content);
  files.set(name, `web/${served}`);
}

async function bundle(entry, name, define = {}) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    legalComments: "none",
    banner: name.endsWith("js") ? { js: "/* encodec-service, MIT. main contains uPlot, (c) Leon Sorokin, MIT. */" } : {},
    define: Object.fromEntries(Object.entries(define).map(([key, value]) => [key, JSON.stringify(value)])),
  });
  emit(name, outputFiles[0].contents);
}

emit("icon.svg", readFileSync("src/icon.svg"));
emit("speech.flac", readFileSync("src/speech.flac"));
await bundle("src/worker.ts", "worker.js");
await bundle("src/live-worklet.ts", "live-worklet.js");
await bundle("src/style.css", "style.css");
await bundle("src/main.ts", "main.js", {
  WORKER_URL: files.get("worker.js"),
  WORKLET_URL: files.get("live-worklet.js"),
  SPEECH_URL: files.get("speech.flac"),
});
const page = readFileSync("src/index.html", "utf8").replace(/\{\{(.+?)\}\}/g, (_, name) => files.get(name));
writeFileSync(join(OUT, "index.html"), page);

// What it was built from. tests/clients/page/test_build.py reads this, so that nobody forgets to build.
const sources = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json", "../typescript/src/keys.ts"];
sources.push(...readdirSync("src").map((name) => `src/${name}`));
const hash = createHash("sha256");
for (const name of sources.sort()) hash.update(`${name}\n`).update(readFileSync(name)).update("\n");
writeFileSync(join(OUT, "build.json"), `${JSON.stringify({ sources: hash.digest("hex") })}\n`);
