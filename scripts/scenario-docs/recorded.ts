/** The suites that docs/scenarios.md shows, each in a folder of docs/data/suite with its number. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSuite, type SuiteRecord } from "../../src/lab/suite/record.js";

export const data = fileURLToPath(new URL("../../docs/data/suite/", import.meta.url));

/** In the order of their numbers. */
export const recorded = (): SuiteRecord[] =>
  (existsSync(data) ? readdirSync(data) : [])
    .toSorted((a, b) => Number(a) - Number(b))
    .map((name) => readSuite(join(data, name)));
