// Builds the package: the C++ engine to WebAssembly, TypeScript to JavaScript, into `dist` and, as
// the service ships it, into `service/web/encodec` with a hash of the sources. Needs a clang for
// wasm32-wasi with libc++ (Debian: clang-19 lld-19 wasi-libc libc++-19-dev-wasm32
// libc++abi-19-dev-wasm32 libclang-rt-19-dev-wasm32); `--js` leaves the WebAssembly as it is.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const shipped = join(root, "service/web/encodec");
const dist = join(here, "dist");
const csrc = join(root, "model_core/engine/native/csrc");

const CLANG = process.env.WASM_CLANG ?? "clang++-19";
const FLAGS = [
  "--target=wasm32-wasi", "-std=c++20", "-O3", "-g0", "-ffp-contract=fast",
  "-fignore-exceptions", "-fvisibility=hidden", `-ffile-prefix-map=${root}=.`, `-I${csrc}`,
];
const EXPORTS = [
  "allocate", "free", "network", "network_free", "state_size", "decode", "encode", "lm", "lm_run",
];
// No -O: with it the driver runs a wasm-opt of any age that it finds.
const LINK = [
  "--target=wasm32-wasi", "-mexec-model=reactor", "-Wl,--gc-sections", "-Wl,--strip-all",
  "-Wl,-z,stack-size=1048576", "-Wl,--max-memory=2147483648",
  ...EXPORTS.map((name) => `-Wl,--export=web_${name}`),
];
const BUILDS = { "engine.wasm": [], "engine-relaxed.wasm": ["-mrelaxed-simd"] };

function compile() {
  for (const [name, flags] of Object.entries(BUILDS)) {
    const object = join(dist, `${name}.o`);
    const source = join(here, "wasm/web.cpp");
    execFileSync(CLANG, [...FLAGS, "-msimd128", ...flags, "-c", source, "-o", object], { stdio: "inherit" });
    execFileSync(CLANG, [...LINK, object, "-o", join(dist, name)], { stdio: "inherit" });
    rmSync(object);
  }
}

/** Files whose content decides what is built; `tests/clients/web/test_build.py` has the same. */
function sources(folders) {
  const found = [];
  for (const [folder, pattern] of folders)
    for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
      if (entry.isFile() && pattern.test(entry.name)) found.push(join(entry.parentPath, entry.name));
  return found;
}

function hash(files) {
  const sum = createHash("sha256");
  const named = files.map((file) => [relative(root, file).replaceAll("\\", "/"), file]);
  for (const [name, file] of named.sort(([a], [b]) => (a < b ? -1 : 1)))
    sum.update(`${name}\0`).update(createHash("sha256").update(readFileSync(file)).digest());
  return sum.digest("hex");
}

mkdirSync(dist, { recursive: true });
mkdirSync(shipped, { recursive: true });
const engine = hash(sources([[csrc, /\.(h|cpp)$/], [join(here, "wasm"), /\.cpp$/]]));
const script = hash(sources([[join(here, "src"), /\.ts$/]]));
if (process.argv.includes("--js"))
  for (const name of Object.keys(BUILDS)) cpSync(join(shipped, name), join(dist, name));
else compile();
// The worker imports `core.js`, which Node can import too.
const external = {
  name: "external",
  setup: ({ onResolve }) => onResolve({ filter: /^\.\/core\.js$/ }, () => ({ path: "./core.js", external: true })),
};
const options = {
  outdir: dist,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
};
const entry = (name) => join(here, `src/${name}.ts`);
await build({ ...options, entryPoints: ["index", "worklet", "core"].map(entry) });
await build({ ...options, entryPoints: [entry("worker")], plugins: [external] });
execFileSync(join(here, "node_modules/.bin/tsc"), ["-p", here], { stdio: "inherit" });
for (const name of ["core.js", "index.js", "worker.js", "worklet.js", ...Object.keys(BUILDS)])
  cpSync(join(dist, name), join(shipped, name));
const known = process.argv.includes("--js")
  ? JSON.parse(readFileSync(join(shipped, "build.json"), "utf8")).engine
  : engine;
const record = JSON.stringify({ engine: known, script }, null, 2);
writeFileSync(join(shipped, "build.json"), `${record}\n`);
