import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readProblem } from "../../../src/cli/options.js";
import { openProblem } from "../../../src/lab/problems/registry.js";
import { optimizerFor } from "../../../src/lab/session.js";
import { ownRow, planSuite, suiteProblem } from "../../../src/lab/suite/plan.js";
import { readSuite, slotsOf, type Trial } from "../../../src/lab/suite/record.js";
import { suiteReport, verdict } from "../../../src/lab/suite/report.js";
import { plannedSeconds, withinBudget } from "../../../src/lab/suite/settings.js";
import { pointOf, runSuite } from "../../../src/lab/suite/suite.js";
import { fullOptimizers, quickOptimizers, rows } from "../../../src/lab/suite/table.js";
import { readTargets, targetOf } from "../../../src/lab/suite/targets.js";
import { optimizers } from "../../../src/optimizers/registry.js";
import { createRuntime } from "../../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "../folder.js";

const root = temporaryFolder();
const openRuntime = () => createRuntime({ threads: 1 });
const name = `table:file=${writeTable(root)},target=y,hidden=8`;
const problem = suiteProblem(
  { ...ownRow(name), seconds: 0.5, target: { metric: "loss", value: 0.2 } },
  openProblem(readProblem(name)),
);
const settings = planSuite(
  [problem],
  [
    { name: "adam", settings: {} },
    { name: "sgd", settings: { learningRate: 1e-9 } },
    // 4 GiB of memory cannot hold what this one wants to keep of a step.
    { name: "lbfgs", settings: { lineSearch: "none", history: 100_000_000 } },
  ],
  { trials: 2, studies: 1, seed: 5, engine: {}, deadline: undefined },
);
const slotName = ({ optimizer, study, trial }: Pick<Trial, "optimizer" | "study" | "trial">) =>
  `${optimizer} ${study} ${trial}`;

describe("a suite", () => {
  const folder = join(root, "suite");
  it("interrupted after any run, goes on to the end and keeps what it had", async () => {
    const controller = new AbortController();
    let ended = 0;
    const part = await runSuite(openRuntime, folder, settings, {
      signal: controller.signal,
      onEnd: () => {
        if (++ended === 4) controller.abort();
      },
    });
    expect(part.trials).toHaveLength(4);
    expect(part.standings).toBeUndefined();
    // A process that was killed while it wrote a line leaves a run that has ended, and a part of its line.
    const lines = readFileSync(join(folder, "trials.jsonl"), "utf8").trimEnd().split("\n");
    const cut = lines[3]!.slice(0, 100);
    writeFileSync(join(folder, "trials.jsonl"), [...lines.slice(0, 3), cut].join("\n"));
    expect(readSuite(folder).trials).toEqual(part.trials.slice(0, 3));
    const whole = await runSuite(openRuntime, folder, settings);
    expect(whole.trials.map(slotName)).toEqual([
      "adam 0 0",
      "sgd 0 0",
      "lbfgs 0 0",
      "adam 0 1",
      "sgd 0 1",
      "lbfgs 0 1",
      "adam 0 fresh",
      "sgd 0 fresh",
      "lbfgs 0 fresh",
    ]);
    expect(whole.trials.slice(0, 4)).toEqual(part.trials);
    expect(readSuite(folder)).toEqual(whole);
  });
  it("has the problem's own settings in trial 0, points of the ranges after it, the best again on a fresh seed", () => {
    const { trials } = readSuite(folder);
    const of = (label: string) => trials.filter(({ optimizer }) => optimizer === label);
    const [first, second, fresh] = of("adam");
    expect([first!.seed, second!.seed, fresh!.seed]).toEqual([5, 5, 1005]);
    expect(first!.settings.settings).toEqual({});
    expect(Object.keys(second!.settings.settings)).toContain("learningRate");
    // Limits count batches, and what is best does not: a second trial that arrives may still be the slower one.
    const [best = first] = [first!, second!]
      .filter(({ seconds }) => seconds !== null)
      .toSorted((a, b) => a.seconds! - b.seconds!);
    expect(fresh!.settings).toEqual(best!.settings);
    // The second trial had no longer than the first one took.
    expect(second!.limit).toBe(first!.withBatches ?? problem.seconds);
    if (first!.seconds !== null) expect(first!.seconds).toBeLessThan(first!.withBatches!);
    // What was given stays fixed.
    for (const trial of of("sgd")) expect(trial.settings.settings.learningRate).toBe(1e-9);
  });
  it("scores misses and what cannot run as misses, and says so", () => {
    const { standings, trials } = readSuite(folder);
    const byName = Object.fromEntries(standings!.optimizers.map((one) => [one.optimizer, one]));
    expect(byName.adam).toMatchObject({ score: 1, solved: 1 });
    expect(byName.sgd).toMatchObject({ score: 0, solved: 0, times: [Number.POSITIVE_INFINITY] });
    expect(byName.lbfgs).toMatchObject({ score: 0, solved: 0 });
    expect(trials.find(({ optimizer }) => optimizer === "lbfgs")).toMatchObject({ end: "unusable" });
    expect(trials.at(-2)!.message).toMatch(/no trial of the study reached/);
    expect(verdict(standings!)).toMatch(
      /^No order is claimed: .* that of adam, which has the highest B, 1\.00\.$/,
    );
  });
  it("leaves no checkpoints, and curves that can be drawn", () => {
    for (const slot of slotsOf(settings, problem).slice(0, 2)) {
      expect(existsSync(join(join(folder, slot.path), "metrics.jsonl"))).toBe(true);
      expect(existsSync(join(join(folder, slot.path), "checkpoint.safetensors"))).toBe(false);
    }
  });
  it("has a page with profile, times, curves and numbers to download", () => {
    const page = suiteReport(readSuite(folder), "thalweg suite");
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).not.toMatch(/<script|<link|src=|https?:|NaN<|undefined|Infinity/);
    for (const text of [
      "Performance profiles",
      "Could not run",
      "loss against seconds",
      "prefers-color-scheme",
      "@media print",
    ])
      expect(page).toContain(text);
    const [, data] = /download="trials.csv" href="data:text\/csv;base64,([^"]*)"/.exec(page)!;
    const csv = Buffer.from(data!, "base64").toString().split("\r\n");
    expect(csv).toHaveLength(1 + 9 + 1);
    expect(csv[0]).toMatch(/^problem,optimizer,study,trial,seed,/);
  });
});

it("has a folder of its own for every problem and optimizer, however alike their names are", () => {
  const alike = ["/a.csv", "-a.csv"].map((end) => ({ ...problem, id: `table:file=${"x".repeat(80)}${end}` }));
  const adams = [0.8, 0.81].map((beta1) => ({
    name: "adam",
    settings: {
      beta1,
      beta2: 0.99,
      epsilon: 1e-8,
      learningRate: 0.001,
      weightDecay: 0.0001,
      clipNorm: 1 + beta1,
    },
  }));
  const extent = { trials: 1, studies: 1, seed: 0, engine: {}, deadline: undefined };
  const two = planSuite(alike, adams, extent);
  const paths = alike.flatMap((one) => slotsOf(two, one).map(({ path }) => path));
  expect([paths.length, new Set(paths).size]).toEqual([8, 8]);
});

it("a record whose baseline takes no part is said to be damaged", () => {
  const folder = join(root, "edited");
  mkdirSync(folder);
  const text = readFileSync(join(root, "suite", "suite.json"), "utf8");
  writeFileSync(join(folder, "suite.json"), text.replace('"baseline": "adam"', '"baseline": "lion"'));
  expect(() => readSuite(folder)).toThrow(/its baseline is "lion", expected one of adam, sgd, lbfgs/);
});

it("a trial's point leaves off what is off, and can be used", () => {
  const opened = openProblem(readProblem(name));
  for (const method of fullOptimizers) {
    const point = pointOf(opened, { trials: 3, seed: 0 }, { name: method, settings: {} }, 0, 2);
    expect(() => optimizerFor(opened, point)).not.toThrow();
    expect(point.settings).not.toHaveProperty("structuralDamping");
    expect(pointOf(opened, { trials: 3, seed: 1 }, { name: method, settings: {} }, 0, 2)).not.toEqual(point);
  }
});

it("a budget shortens all runs alike, and refuses to make them nothing", () => {
  const long = { ...problem, seconds: 100 };
  const two = { ...settings, problems: [problem, long] };
  const half = withinBudget(two, plannedSeconds(two) / 2);
  expect(half.problems[1]!.seconds / half.problems[0]!.seconds).toBeCloseTo(200, 0);
  expect(plannedSeconds(half)).toBeLessThan(1.01 * (plannedSeconds(two) / 2));
  expect(withinBudget(two, 1e9)).toEqual(two);
  expect(() => withinBudget(two, 1)).toThrow(/18 runs do not fit into 1 s; give a longer --budget/);
});

describe("the table", () => {
  it("has rows whose problems open, with targets among their metrics, and optimizers that exist", () => {
    for (const row of rows) {
      // What a machine may lack: clothing, and a network that has learned it.
      if (/^(fashion|fine)-/.test(row.problem)) continue;
      const opened = openProblem(readProblem(row.problem));
      const { target, id } = suiteProblem(row, opened);
      expect([id, opened.metrics[target.metric]]).toEqual([id, target.goal]);
    }
    for (const method of [...quickOptimizers, ...fullOptimizers])
      expect(Object.keys(optimizers)).toContain(method);
    expect(new Set(rows.map((row) => row.problem)).size).toBe(rows.length);
  });
  it("has frozen targets that follow from their recorded results", () => {
    for (const { problem: row, target, results } of readTargets().targets) {
      expect([row, targetOf(results, target)]).toEqual([row, target]);
      expect(rows.find(({ problem }) => problem === row)?.target).toBe("tuned");
    }
  });
  it("rounds targets to the easier side", () => {
    const of = (...values: number[]) => [{ optimizer: { name: "adamw", settings: {} }, values }];
    expect(targetOf([...of(1.2341, 9, 1), ...of(5)], { metric: "loss", goal: "min" }).value).toBe(1.24);
    expect(targetOf([...of(0.98765), ...of(0.5)], { metric: "accuracy", goal: "max" }).value).toBe(0.987);
  });
});
