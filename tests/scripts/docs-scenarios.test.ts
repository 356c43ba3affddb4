import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { expectedOf } from "../../scripts/scenario-docs/expected.js";
import { suiteSection } from "../../scripts/scenario-docs/section.js";
import { readProblem } from "../../src/cli/options.js";
import { readSuite } from "../../src/lab/suite/record.js";
import { rows } from "../../src/lab/suite/table.js";
import { optimizers } from "../../src/optimizers/registry.js";

const docs = new URL("../../docs/", import.meta.url);
const record = readSuite(fileURLToPath(new URL("data/suite/", docs)));

/** Without what the formatter of tables adds. */
const bare = (page: string) => page.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "---");

test("the suite's part of the scenarios is what its data says", () => {
  const page = readFileSync(new URL("scenarios.md", docs), "utf8");
  expect(bare(page) === bare(suiteSection(page, record)), "run: npm run docs:scenarios").toBe(true);
});
test("something is expected of every row, of methods that exist", () => {
  const [problem] = record.settings.problems;
  for (const row of rows) {
    const { said, methods } = expectedOf({ ...problem!, id: row.problem, problem: readProblem(row.problem) });
    expect([row.problem, said]).not.toContain("");
    expect(methods.length).toBeGreaterThan(0);
    for (const method of methods) expect(Object.keys(optimizers)).toContain(method);
  }
});
test("every scored cell has all its trials, each with a time within its limit or none", () => {
  const { settings, finished, trials } = record;
  expect(finished.length).toBeGreaterThan(0);
  for (const { id, seconds } of finished) {
    const own = trials.filter(({ problem }) => problem === id);
    expect([id, own.length]).toEqual([
      id,
      settings.optimizers.length * settings.studies * (settings.trials + 1),
    ]);
    for (const trial of own)
      expect(trial.seconds === null || trial.seconds <= seconds, JSON.stringify(trial)).toBe(true);
  }
});
