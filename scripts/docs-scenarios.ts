/**
 * npm run docs:scenarios [-- <folders of suites>]
 *
 * Writes the suite's part of docs/scenarios.md: what the text that Thalweg comes from expects of each problem beside what
 * was measured. The records (settings, machine and every trial) are in docs/data/suite, numbered; folders that are given
 * are added to them.
 * `npx vitest run tests/scripts` fails while the page is not up to date.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSuite, suiteRecord, trialsOf } from "../src/lab/suite/record.js";
import { data, recorded } from "./scenario-docs/recorded.js";
import { suiteSection } from "./scenario-docs/section.js";

for (const folder of process.argv.slice(2)) {
  readSuite(folder);
  const next = join(data, String(recorded().length + 1));
  mkdirSync(next, { recursive: true });
  for (const file of [suiteRecord.path, trialsOf]) copyFileSync(file(folder), file(next));
}
const page = fileURLToPath(new URL("../docs/scenarios.md", import.meta.url));
writeFileSync(page, suiteSection(readFileSync(page, "utf8"), recorded()));
// Its tables as `npm run lint` wants them.
execFileSync("npx", ["biome", "format", "--write", page]);
