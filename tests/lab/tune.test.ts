import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openProblem } from "../../src/lab/problems/registry.js";
import type { Measurement } from "../../src/lab/run-record.js";
import { rangesOf } from "../../src/lab/search.js";
import { sensitivity } from "../../src/lab/sensitivity.js";
import { isHopeless, readTune, type TuneSettings, tune } from "../../src/lab/tune.js";
import { optimizers } from "../../src/optimizers/registry.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "./folder.js";

const root = temporaryFolder();
const runtime = await createRuntime({ threads: 1 });
afterAll(() => runtime.close());
const problem = openProblem({ name: "table", options: { file: writeTable(root), target: "y", hidden: "8" } });
const settings = (changes: Partial<TuneSettings> = {}): TuneSettings => ({
  problem: problem.settings,
  optimizer: { name: "sgd", settings: {} },
  ranges: { learningRate: { from: 1e-4, to: 1, scale: "log" } },
  trials: 5,
  searchSeed: 1,
  seeds: [0],
  batch: 16,
  limits: { steps: 60 },
  evaluateEvery: 10,
  stopsEarly: true,
  engine: {},
  ...changes,
});
const without = <T extends object>(value: T, ...names: string[]) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

describe("a search", () => {
  it("tries the given settings and every point, best first; hopeless trials end early", async () => {
    const { trials } = await tune(runtime, problem, join(root, "whole"), settings());
    expect(trials).toHaveLength(6);
    expect(trials.map(({ index }) => index).toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(trials.find(({ index }) => index === 0)!.optimizer.settings).toEqual({});
    const bests = trials.map(({ score }) => score.best);
    expect(bests).toEqual(bests.toSorted((a, b) => a - b));
    for (const { hopeless, runs } of trials)
      expect(runs[0]!.result!.steps < 60).toBe(hopeless || runs[0]!.result!.reason === "diverged");
    expect(trials.some(({ hopeless }) => hopeless)).toBe(true);
    expect(trials[0]!.hopeless).toBe(false);
  });
  it("without early ends gives every trial the whole budget", async () => {
    const { trials } = await tune(runtime, problem, join(root, "even"), settings({ stopsEarly: false }));
    for (const { runs } of trials) expect(["steps", "diverged"]).toContain(runs[0]!.result!.reason);
  });
  it("that was interrupted goes on to the same end", async () => {
    const folder = join(root, "interrupted");
    const controller = new AbortController();
    const part = await tune(runtime, problem, folder, settings(), {
      signal: controller.signal,
      onEnd: (label) => {
        if (label.startsWith("trial 2")) controller.abort();
      },
    });
    expect(part.trials.length).toBeLessThan(6);
    const { trials } = await tune(runtime, problem, folder, readTune(folder).settings);
    const whole = readTune(join(root, "whole")).trials;
    const losses = (list: typeof trials) =>
      list.map(({ index, runs }) => [
        index,
        runs[0]!.measurements.map((m) => without(m, "seconds", "phases")),
      ]);
    expect(losses(trials)).toEqual(losses(whole));
  });
  it("refuses a folder that holds something else, or is no search", async () => {
    await expect(tune(runtime, problem, root, settings())).rejects.toThrow("is not empty");
    expect(() => readTune(join(root, "nowhere"))).toThrow("does not exist; name the folder of a search");
  });
});

it("sensitivity moves one setting through its range with the whole budget", async () => {
  const folder = join(root, "whole");
  const record = readTune(folder);
  const [row, ...rest] = await sensitivity(runtime, problem, record, record.trials[0]!.optimizer);
  expect(rest).toEqual([]);
  expect(row!.points.map(({ value }) => value)).toEqual([1e-4, 1e-3, 1e-2, 0.1, 1]);
  const finite = row!.points.filter(({ best }) => Number.isFinite(best));
  const changes = finite.slice(1).map(({ best }, k) => Math.abs(best - finite[k]!.best));
  if (finite.length === 5)
    expect(row!.perDecade).toBeCloseTo(changes.reduce((a, b) => a + b) / changes.length, 12);
  const file = join(folder, "sensitivity", "learningRate-2", "seed-0", "run.json");
  expect(JSON.parse(readFileSync(file, "utf8")).settings.optimizer.settings.learningRate).toBe(0.01);
});

describe("a trial is hopeless", () => {
  const quality = { metric: "loss", goal: "min" as const };
  const at = (...losses: number[]): Measurement[] =>
    losses.map((loss, k) => ({ step: 10 * (k + 1), seconds: k, evaluations: {}, test: { loss } }));
  const others = [at(5, 3, 1), at(6, 4, 2), at(7, 5, 3)].map((measurements) => ({
    measurements,
    result: undefined,
  }));
  it("where its best is worse than the median of the others' at the same step", () => {
    expect(isHopeless(at(9, 4.5), others, 30, quality)).toBe(true);
    expect(isHopeless(at(9, 3.9), others, 30, quality)).toBe(false);
    expect(isHopeless(at(3.5, 9), others, 30, quality)).toBe(false);
  });
  it("not before a quarter of the budget, nor beside fewer than three others", () => {
    expect(isHopeless(at(9), others, 100, quality)).toBe(false);
    expect(isHopeless(at(9, 9, 9), others.slice(1), 30, quality)).toBe(false);
  });
  it("beside others that diverged: they are the worst", () => {
    const diverged = { measurements: at(1), result: { reason: "diverged" } as never };
    expect(isHopeless(at(9, 9), [diverged, diverged, others[0]!], 30, quality)).toBe(false);
  });
});

describe("ranges of a search", () => {
  const { options } = optimizers.adam;
  it("are the typical ones of what matters, or one's own", () => {
    expect(Object.keys(rangesOf("adam", options))).toContain("learningRate");
    expect(rangesOf("adam", options, "learningRate=0.01..0.1,beta2")).toEqual({
      learningRate: { from: 0.01, to: 0.1, scale: "log" },
      beta2: options.beta2.typical,
    });
    expect(rangesOf("adam", options, "warmupSteps=0..100").warmupSteps).toEqual({
      from: 0,
      to: 100,
      scale: "linear",
      whole: true,
    });
  });
  it("are of a hybrid's parts too", () => {
    const all = optimizers.switchTo.optionsFor({ second: "sgd" });
    expect(rangesOf("switchTo", all, "first.beta2,second.learningRate=0.1..1")).toEqual({
      "first.beta2": options.beta2.typical,
      "second.learningRate": { from: 0.1, to: 1, scale: "log" },
    });
  });
  it("that are none are said in one line", () => {
    const cases: [string, string][] = [
      ["learningrate", 'adam: there is no setting "learningrate"; did you mean learningRate'],
      ["learningRate=1..0.1", "learningRate=1..0.1 is no range; both ends must be a number above 0"],
      ["learningRate=0..1", "learningRate=0..1 is no range"],
      ["schedule", "schedule is no number"],
      ["=3", '"=3" is no range; write setting or setting=from..to'],
    ];
    for (const [over, message] of cases) expect(() => rangesOf("adam", options, over)).toThrow(message);
  });
});
