/**
 * Weight: the installed package with all it pulls in, the library in a browser (gzipped), the start of the command.
 *   npm run bench:size
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = resolve(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "thalweg-size-"));
const run = (command: string, args: readonly string[], cwd: string) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const bytesIn = (path: string): number =>
  statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0)
    : statSync(path).size;
const median = (list: number[]) => list.sort((a, b) => a - b)[list.length >> 1]!;

try {
  const tarball = run("npm", ["pack", "--silent", "--pack-destination", folder], root)
    .trim()
    .split("\n")
    .at(-1)!;
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  run("npm", ["install", "--silent", "--no-audit", "--no-fund", join(folder, tarball)], folder);
  const installed = bytesIn(join(folder, "node_modules"));

  const times = Array.from({ length: 11 }, () => {
    const start = performance.now();
    run(process.execPath, [join(folder, "node_modules/thalweg/dist/cli/main.js"), "--help"], folder);
    return performance.now() - start;
  });

  const bundle = await build({
    stdin: {
      contents:
        'export * from "thalweg"; export * from "thalweg/nn"; export * from "thalweg/optimizers"; export * from "thalweg/curvature";',
      resolveDir: folder,
    },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    // Loaded only where Node is.
    external: [
      "node:*",
      "koffi",
      "*/native-library.js",
      "*/blas-native.js",
      "*/blas-relaxed.js",
      "*/team-node.js",
    ],
  });
  const gzipped = gzipSync(bundle.outputFiles[0]!.contents, { level: 9 }).length;

  const row = (what: string, value: string, limit: string, reached: boolean) =>
    console.log(`| ${what} | ${value} | ${limit} | ${reached ? "reached" : "not reached"} |`);
  console.log("| what | measured | limit | |\n|---|--:|--:|---|");
  row("installed with dependencies", `${(installed / 1e6).toFixed(1)} MB`, "40 MB", installed < 40e6);
  row("thalweg --help, median", `${median(times).toFixed(0)} ms`, "150 ms", median(times) < 150);
  row("library for a browser, gzipped", `${(gzipped / 1e3).toFixed(1)} kB`, "300 kB", gzipped < 300e3);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
