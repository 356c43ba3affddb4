import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readProblem } from "../../../src/cli/options.js";
import { openProblem } from "../../../src/lab/problems/registry.js";
import { batchTasks } from "../../../src/lab/studies/batch.js";
import { findStudy, studies } from "../../../src/lab/studies/registry.js";
import { studyReport, writeStudy } from "../../../src/lab/studies/report.js";
import { readStudy, runStudy, type StudySettings } from "../../../src/lab/studies/run-study.js";
import { stalenessTasks } from "../../../src/lab/studies/staleness.js";
import { defineStudy, type Lab, type Point, type Study, verdictOf } from "../../../src/lab/studies/study.js";
import { createRuntime, type Runtime } from "../../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "../folder.js";

const root = temporaryFolder();
let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const problem = openProblem(readProblem(`table:file=${writeTable(root)},target=y,hidden=8`));
const settings: StudySettings = { study: "rates", extent: "quick", seed: 3, engine: {} };

/** Losses after a few steps by learning rate; each point also tells how many came before it. */
function rates(measured: string[] = []): Study {
  return defineStudy({
    name: "rates",
    title: "Rates",
    question: "Which rate?",
    expectation: { text: "a < b & c", source: "nowhere" },
    method: "a table",
    columns: { rate: "η", loss: "test loss", before: "points before" },
    schema: v.strictObject({ rate: v.number(), loss: v.nullable(v.number()), before: v.number() }),
    tasks: () =>
      [0.001, 0.01, 0.1].map((rate) => ({
        id: `rate ${rate}`,
        seconds: 1,
        async measure(lab: Lab, earlier) {
          measured.push(`rate ${rate}`);
          await lab.pause();
          const { result } = await lab.train(`adam ${rate}`, {
            problem,
            optimizer: { name: "adam", settings: { learningRate: rate } },
            seed: lab.seed,
            batch: 8,
            limits: { steps: 400 },
            evaluateEvery: 400,
          });
          return { rate, loss: result!.last!.test.loss!, before: earlier.length };
        },
      })),
    read: (points) => ({
      verdict: verdictOf(points.map(({ loss }) => loss !== null)),
      paragraph: `${points.length} points`,
      sections: [],
      figures: [],
    }),
  });
}

describe("a study", () => {
  it("interrupted anywhere goes on, measures each point once and ends as one that was not", async () => {
    const whole = await runStudy(runtime, join(root, "whole"), rates(), settings);
    expect(whole.points.map(({ before }) => before)).toEqual([0, 1, 2]);
    const measured: string[] = [];
    const study = rates(measured);
    const folder = join(root, "parts");
    // Within the first training, then before the third point.
    const first = new AbortController();
    const none = await runStudy(runtime, folder, study, settings, {
      signal: first.signal,
      onStart: () => first.abort(),
    });
    expect([none.points.length, none.left]).toEqual([0, 3]);
    const second = new AbortController();
    let ended = 0;
    const two = await runStudy(runtime, folder, study, settings, {
      signal: second.signal,
      onEnd: () => {
        if (++ended === 2) second.abort();
      },
    });
    expect([two.points, two.left]).toEqual([whole.points.slice(0, 2), 1]);
    // A line that was cut off is no point.
    appendFileSync(join(folder, "points.jsonl"), '{"task":"rate 0.1","point":{"ra');
    const end = await runStudy(runtime, folder, study, settings);
    expect([end.points, end.left]).toEqual([whole.points, 0]);
    expect(measured).toEqual(["rate 0.001", "rate 0.001", "rate 0.01", "rate 0.1"]);
    expect(readStudy(folder, study)).toMatchObject({ points: whole.points, left: 0 });
    expect(existsSync(join(folder, "runs/adam-0.1/metrics.jsonl"))).toBe(true);
    expect(existsSync(join(folder, "runs/adam-0.1/checkpoint.safetensors"))).toBe(false);
  });
  it("writes its data as JSON and CSV, and a page that needs nothing else", async () => {
    const record = await runStudy(runtime, join(root, "whole"), rates(), settings);
    const page = readFileSync(writeStudy(record, "thalweg study rates"), "utf8");
    expect(page).not.toMatch(/<script|<link|src=|https?:|NaN|undefined|Infinity/);
    for (const text of ["3 points", "a &lt; b &amp; c", "prefers-color-scheme", "@media print", "rates.csv"])
      expect(page).toContain(text);
    const data = JSON.parse(readFileSync(join(root, "whole/data.json"), "utf8"));
    expect(data).toMatchObject({ study: "rates", points: record.points, reading: { verdict: "holds" } });
    const csv = readFileSync(join(root, "whole/data.csv"), "utf8").split("\r\n");
    expect([csv[0], csv.length]).toEqual(["rate,loss,before", 5]);
  });
  it("names what is damaged", async () => {
    const folder = join(root, "damaged");
    await runStudy(runtime, folder, rates(), settings);
    appendFileSync(join(folder, "points.jsonl"), '{"task":"rate 1","point":{"rate":"high"}}\n');
    expect(() => readStudy(folder, rates())).toThrow(
      /points.jsonl:4" is damaged or of another program: rate is "high"/,
    );
    expect(() => readStudy(join(root, "nowhere"), rates())).toThrow(
      /does not exist; name the folder of a study/,
    );
  });
});

describe("the studies", () => {
  it("have tasks of their own, names for every column, more points when full, and readings of nothing", () => {
    for (const study of studies) {
      const [quick, full] = [study.tasks("quick"), study.tasks("full")];
      for (const tasks of [quick, full]) expect(new Set(tasks.map(({ id }) => id)).size).toBe(tasks.length);
      expect(full.length).toBeGreaterThanOrEqual(quick.length);
      expect(study.read([]).verdict).toBe("undecided");
      expect(findStudy(study.name)).toBe(study);
    }
    expect(() => findStudy("dampin")).toThrow(/there is no study "dampin"; did you mean damping\?/);
    expect(() => findStudy("zzzzzz")).toThrow(
      /there are condition, batch, staleness, inversion, damping, switch/,
    );
  });

  /** Some tasks of a study's quick grid, as if there were no others. */
  const part = (study: Study, wanted: RegExp): Study => ({
    ...study,
    tasks: (extent) => study.tasks(extent).filter(({ id }) => wanted.test(id)),
  });
  const measured = async (name: string, wanted: RegExp) => {
    const study = part(findStudy(name), wanted);
    const record = await runStudy(runtime, join(root, name), study, { ...settings, study: name });
    expect(record.left).toBe(0);
    for (const point of record.points)
      for (const column of Object.keys(point)) expect(study.columns).toHaveProperty(column);
    const page = studyReport(record, `thalweg study ${name}`);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    return record.points;
  };
  const of = (points: readonly Point[], column: string) => points.map((point) => point[column]);

  it("condition: each method within its bound, Newton in one", async () => {
    const points = await measured("condition", /κ = 100?$/);
    expect(points).toHaveLength(10);
    for (const { method, iterations, bound } of points) {
      expect(iterations).not.toBeNull();
      if (method === "Newton") expect(iterations).toBe(1);
      // The heavy ball's rate is asymptotic: a factor before it grows with k.
      else if (bound !== null)
        expect(iterations as number).toBeLessThanOrEqual(
          (method === "heavy ball" ? 1.5 : 1.01) * (bound as number) + 1,
        );
    }
  });
  it("inversion: times of every operation", async () => {
    const points = await measured("inversion", /^(cholesky|newtonSchulz|gradient step), d = 64$/);
    for (const seconds of of(points, "seconds")) expect(seconds).toBeGreaterThan(0);
  });
  it("staleness: costs first, then steps with the estimates and inversions they took", async () => {
    const [cost, ...runs] = stalenessTasks({
      intervals: [10],
      seeds: 1,
      limits: { target: { metric: "accuracy", value: 0.9, goal: "max" }, steps: 100 },
    });
    const study = { ...findStudy("staleness"), tasks: () => [cost, runs[1]] as never };
    const { points } = await runStudy(runtime, join(root, "staleness"), study, {
      ...settings,
      study: "staleness",
    });
    for (const part of ["plain", "estimate", "inversion"]) expect(points[0]![part]).toBeGreaterThan(0);
    const { steps, estimates, inversions } = points[1] as Record<string, number>;
    expect(steps).toBeGreaterThan(10);
    expect(estimates).toBe(Math.ceil(steps! / 10));
    expect(inversions).toBeGreaterThan(1);
  });
  it("damping: losses below the initial one", async () => {
    const [point] = await measured("damping", /^kfac, λ fixed, λ = 0.1$/);
    expect(point!.loss as number).toBeLessThan(0.5 * (point!.initial as number));
  });
  it("batch: the best rate that arrived", async () => {
    const [task] = batchTasks({
      batches: [64],
      rates: [1, 2],
      seeds: 1,
      target: { metric: "accuracy", value: 0.6, goal: "max" },
    });
    const study = { ...findStudy("batch"), tasks: () => [task!] as never };
    const { points } = await runStudy(runtime, join(root, "batch"), study, { ...settings, study: "batch" });
    const [{ rate, steps, low, high, examples }] = points as [Record<string, number>];
    expect([0.002, 0.004]).toContain(rate);
    expect(steps).toBe((low! + high!) / 2);
    expect(examples).toBe(64 * steps!);
  });
});
