import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { expectedOf } from "../../scripts/scenario-docs/expected.js";
import { outcomeOf, tally } from "../../scripts/scenario-docs/outcome.js";
import { recorded } from "../../scripts/scenario-docs/recorded.js";
import { suiteSection } from "../../scripts/scenario-docs/section.js";
import { readProblem } from "../../src/cli/options.js";
import { rows } from "../../src/lab/suite/table.js";
import { optimizers } from "../../src/optimizers/registry.js";
import { bare } from "./bare.js";

const docs = new URL("../../docs/", import.meta.url);
const suites = recorded();

test("the suite's part of the scenarios is what its data says", () => {
  const page = readFileSync(new URL("scenarios.md", docs), "utf8");
  expect(bare(page) === bare(suiteSection(page, suites)), "run: npm run docs:scenarios").toBe(true);
});
test("something is expected of every row, of methods that exist", () => {
  const [problem] = suites[0]!.settings.problems;
  for (const row of rows) {
    const { said, methods } = expectedOf({ ...problem!, id: row.problem, problem: readProblem(row.problem) });
    expect([row.problem, said]).not.toContain("");
    expect(methods.length).toBeGreaterThan(0);
    for (const method of methods) expect(Object.keys(optimizers)).toContain(method);
  }
});
test("what was expected is compared with what ran, and counted", () => {
  const arrived = [
    { optimizer: "kfac", seconds: 2 },
    { optimizer: "adam", seconds: 5 },
  ];
  const ran = ["kfac", "adam", "sgd"];
  const outcomes = [["adam", "kfac"], ["newton", "adam"], ["sgd", "newton"], ["newton"]].map((expected) =>
    outcomeOf(expected, arrived, ran),
  );
  expect(outcomes.map(({ text }) => text)).toEqual([
    "holds: `kfac` is the fastest",
    "`adam` takes 2.5 times as long as `kfac`",
    "did not arrive: `sgd`",
    "—",
  ]);
  expect(outcomeOf(["sgd"], [], ran).kind).toBe("open");
  expect(tally(outcomes)).toBe(
    "A method that the text names is the fastest in 1 of 4 rows; in 1 the best of them arrives after another, in 2.5 times its seconds; in 1 others arrive and none of them does; 1 decide nothing.",
  );
});
test("every scored cell has all its trials, each with a time within its limit or none", () => {
  for (const { settings, finished, trials } of suites) {
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
  }
});
test("no row is measured by two suites", () => {
  const ids = suites.flatMap(({ finished }) => finished.map(({ id }) => id));
  expect(ids).toEqual([...new Set(ids)]);
});
