/**
 * npm run docs:scenarios [-- <folder of a suite>]
 *
 * Writes the suite's part of docs/scenarios.md: what the text that Thalweg comes from expects of each problem beside what
 * was measured. The record (settings, machine and every trial) is in docs/data/suite; a folder replaces it.
 * `npx vitest run tests/scripts` fails while the page is not up to date.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSuite } from "../src/lab/suite/record.js";
import { suiteSection } from "./scenario-docs/section.js";

const data = fileURLToPath(new URL("../docs/data/suite/", import.meta.url));
const [folder] = process.argv.slice(2);
if (folder !== undefined) {
  mkdirSync(data, { recursive: true });
  for (const file of ["suite.json", "trials.jsonl"]) copyFileSync(join(folder, file), join(data, file));
}
const page = fileURLToPath(new URL("../docs/scenarios.md", import.meta.url));
writeFileSync(page, suiteSection(readFileSync(page, "utf8"), readSuite(data)));
// Its tables as `npm run lint` wants them.
execFileSync("npx", ["biome", "format", "--write", page]);
