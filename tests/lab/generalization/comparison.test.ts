import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type ComparisonSettings,
  readComparison,
  runComparison,
} from "../../../src/lab/generalization/comparison.js";
import { barrierOf } from "../../../src/lab/generalization/findings.js";
import { barrier, interpolate, separation } from "../../../src/lab/generalization/path.js";
import { findSubjects, pairsOf } from "../../../src/lab/generalization/subjects.js";
import { openSurface } from "../../../src/lab/generalization/surface.js";
import { openProblem } from "../../../src/lab/problems/registry.js";
import { runRace } from "../../../src/lab/race.js";
import { createRuntime } from "../../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "../folder.js";

const root = temporaryFolder();
const runtime = await createRuntime({ threads: 1 });
const problem = openProblem({
  name: "table",
  options: { file: writeTable(root), target: "y", hidden: "8", precision: "f64" },
});
const { metrics } = problem;
const race = join(root, "race");
const optimizers = [
  { name: "adam", settings: { learningRate: 0.02 } },
  { name: "kfac", settings: {} },
];
const how = {
  seed: 0,
  batch: 16,
  batches: 4,
  top: 2,
  radius: 0.05,
  adaptiveRadius: 0.5,
  ascent: 3,
  points: 5,
  engine: {},
};
const open = () => openSurface(runtime, problem, how);
const go = async () => {};
beforeAll(async () => {
  await runRace(runtime, problem, race, {
    problem: problem.settings,
    optimizers,
    seeds: [0, 1],
    batch: 16,
    limits: { steps: 200 },
    evaluateEvery: 100,
    engine: {},
  });
});

describe("a line", () => {
  it("has the barrier above the straight line between its ends", () => {
    expect(barrier([1, 5, 2])).toBe(3.5);
    expect(barrier([3, 1, 2, 0])).toBe(1);
    expect(barrier([3, 1, 0.5, 0])).toBe(0);
    expect(barrier([2, 2, 2])).toBe(0);
    expect(barrier([1, Number.NaN, 2])).toBeNaN();
  });
  it("ends where the solutions are, to the bit", () => {
    const [a, b] = [Float64Array.of(0.1, 1e-9, 3), Float64Array.of(0.3, 1e9, -7)];
    const out = new Float64Array(3);
    interpolate(out, a, b, 0);
    expect([...out]).toEqual([...a]);
    interpolate(out, a, b, 1);
    expect([...out]).toEqual([...b]);
    interpolate(out, a, b, 0.25);
    expect(out[2]).toBe(0.5);
  });
  it("has its length, and an angle at the common start", () => {
    const { distance, cosine } = separation(
      Float64Array.of(1, 1),
      Float64Array.of(4, 5),
      Float64Array.of(1, 0),
    );
    expect(distance).toBe(5);
    expect(cosine).toBeCloseTo(5 / Math.sqrt(9 + 25), 12);
    expect(separation(Float64Array.of(1), Float64Array.of(2), undefined).cosine).toBeUndefined();
  });
  it("from a solution to itself has no barrier, to the same network with its units in another order it has", async () => {
    const surface = open();
    const place = surface.read(join(race, "adam", "seed-0"));
    const start = surface.start(0);
    const own = await surface.line(place, place, start, go);
    for (const data of ["train", "test"] as const) expect(barrierOf(own, data, "loss", metrics)).toBe(0);
    expect(own).toMatchObject({ distance: 0 });
    expect(own.cosine).toBeCloseTo(1, 12);

    // θ: bias [8] and weight [2, 8], bias [1] and weight [8, 1]; unit j goes to 7 − j.
    const turned = place.parameters.slice();
    const { layout } = problem.start(runtime, { seed: 0, batch: 16 }).objective;
    for (const { name, shape, offset, size } of layout.entries) {
      const units = name.startsWith("layers.1") ? shape.at(-1)! : shape.length === 2 ? shape[0]! : 1;
      const rows = size / units;
      for (let k = 0; k < size; k++) {
        const [row, unit] = [Math.floor(k / units), k % units];
        turned[offset + row * units + (units - 1 - unit)] = place.parameters[offset + k]!;
      }
      expect([8, 1]).toContain(units);
      expect(rows * units).toBe(size);
    }
    const line = await surface.line(place, { ...place, parameters: turned }, undefined, go);
    const [first, last] = [line.points[0]!, line.points.at(-1)!];
    expect(last.train.loss).toBeCloseTo(first.train.loss!, 10);
    expect(last.test.loss).toBeCloseTo(first.test.loss!, 10);
    expect(barrierOf(line, "train", "loss", metrics)).toBeGreaterThan(10 * first.train.loss!);
    expect(line.cosine).toBeUndefined();
    // In the same order again there is none.
    expect(line.aligned!.distance).toBe(0);
    expect(barrierOf(line.aligned!, "train", "loss", metrics)).toBe(0);
    surface.release();
  });
});

describe("a solution", () => {
  it("has an adaptive sharpness that a scale between layers leaves, and a sharpness that it does not", async () => {
    const surface = open();
    const place = surface.read(join(race, "adam", "seed-0"));
    const { layout } = problem.start(runtime, { seed: 0, batch: 16 }).objective;
    const scaled = place.parameters.slice();
    // relu(4x) = 4 relu(x).
    for (const { name, offset, size } of layout.entries) {
      const factor = name.startsWith("layers.1") ? 4 : name === "layers.3.weight" ? 0.25 : 1;
      for (let k = offset; k < offset + size; k++) scaled[k]! *= factor;
    }
    const one = await surface.measure(place, surface.start(0), go);
    const other = await surface.measure({ ...place, parameters: scaled }, surface.start(0), go);
    expect(other.train.loss).toBeCloseTo(one.train.loss!, 12);
    expect(other.adaptive.first / one.adaptive.first).toBeCloseTo(1, 8);
    expect(other.adaptive.most / one.adaptive.most).toBeCloseTo(1, 8);
    expect(Math.abs(Math.log(other.sharpness.first / one.sharpness.first))).toBeGreaterThan(0.1);
    expect(Math.abs(Math.log(other.eigenvalues[0]! / one.eigenvalues[0]!))).toBeGreaterThan(0.1);
    surface.release();
  });
  it("has a trace and ends of its spectrum that fit together", async () => {
    const surface = open();
    const solution = await surface.measure(surface.read(join(race, "kfac", "seed-1")), surface.start(1), go);
    const { nodes, weights } = solution.spectrum;
    expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 8);
    const mean = nodes.reduce((sum, node, k) => sum + node * weights[k]!, 0);
    // 33 parameters: 60 steps exhaust the space, and the first moment of random signs is that of the trace.
    const { value, standardError } = solution.trace;
    expect(Math.abs(mean * solution.size - value)).toBeLessThan(6 * standardError + 0.05 * value);
    // Within the tolerance of the eigenvalues.
    const [largest] = solution.eigenvalues as [number];
    expect(Math.abs(Math.max(...nodes) - largest)).toBeLessThan(2e-4 * largest);
    expect(Math.abs(Math.min(...nodes) - solution.smallest)).toBeLessThan(2e-4 * largest);
    expect(solution.moved).toBeGreaterThan(0);
    surface.release();
  });
});

describe("a comparison", () => {
  const settingsOf = (): ComparisonSettings => ({
    ...how,
    problem: problem.settings,
    folders: [race],
    subjects: [...findSubjects([race]).subjects],
  });
  it("takes the runs of a race, all lines of one start, and one of different starts for each two optimizers", () => {
    const { subjects, leftOut } = findSubjects([race]);
    expect(subjects.map(({ label, seed, steps }) => [label, seed, steps])).toEqual([
      ["adam", 0, 200],
      ["kfac", 0, 200],
      ["adam", 1, 200],
      ["kfac", 1, 200],
    ]);
    expect(leftOut).toEqual([]);
    const named = pairsOf(subjects).map(({ from, to, sameStart }) => [from, to, sameStart]);
    expect(named).toEqual([
      [0, 1, true],
      [2, 3, true],
      [0, 2, false],
      [0, 3, false],
      [1, 3, false],
    ]);
  });
  it("that is interrupted at any part goes on, and ends as one that was not", async () => {
    const whole = await runComparison(runtime, problem, join(root, "whole"), settingsOf());
    expect(whole.solutions.every(({ solution }) => solution)).toBe(true);
    expect(whole.lines.every(({ line }) => line?.points.length === how.points)).toBe(true);
    const folder = join(root, "interrupted");
    const stopped: number[] = [];
    for (const limit of [9, 20, 5]) {
      const controller = new AbortController();
      let parts = 0;
      const { solutions, lines } = await runComparison(runtime, problem, folder, settingsOf(), {
        signal: controller.signal,
        onPart() {
          if (++parts === limit) controller.abort();
        },
      });
      stopped.push(
        [...solutions, ...lines].filter((one) => ("solution" in one ? one.solution : one.line)).length,
      );
    }
    expect(stopped).toEqual([1, 3, 3]);
    const resumed = await runComparison(runtime, problem, folder, settingsOf());
    expect(resumed.solutions).toEqual(whole.solutions);
    expect(resumed.lines).toEqual(whole.lines);
    expect(readComparison(folder).solutions).toEqual(whole.solutions);
  });
  it("refuses to go on when a run has other parameters than before", async () => {
    const settings = settingsOf();
    const [first, ...others] = settings.subjects;
    await expect(
      runComparison(runtime, problem, join(root, "changed"), {
        ...settings,
        subjects: [{ ...first!, digest: "0" }, ...others],
      }),
    ).rejects.toThrow(/has gone on since the comparison in ".*changed" began/);
  });
  it("refuses problems whose loss is no function of the parameters, and leaves no folder behind", async () => {
    const folder = join(root, "game");
    for (const [name, expected] of [
      ["gan-gaussians", /"gan-gaussians" is a game/],
      ["cartpole", /"cartpole" has no fixed loss/],
    ] as const)
      await expect(
        runComparison(runtime, openProblem({ name, options: {} }), folder, settingsOf()),
      ).rejects.toThrow(expected);
    expect(existsSync(folder)).toBe(false);
  });
  it("leaves out runs of a race that diverged or have not ended", async () => {
    const folder = join(root, "failing");
    await runRace(runtime, problem, folder, {
      problem: problem.settings,
      optimizers: [...optimizers, { name: "sgd", settings: { learningRate: 1e20 } }],
      seeds: [0],
      batch: 16,
      limits: { steps: 20 },
      evaluateEvery: 10,
      engine: {},
    });
    const result = join(folder, "kfac", "seed-0", "result.json");
    writeFileSync(
      result,
      readFileSync(result, "utf8").replace('"reason": "steps"', '"reason": "interrupted"'),
    );
    const { subjects, leftOut } = findSubjects([folder]);
    expect(subjects.map(({ label }) => label)).toEqual(["adam"]);
    expect(leftOut.map(({ why }) => why)).toEqual([
      "it has not ended; go on with it by --resume",
      expect.stringMatching(/it diverged at step \d+/),
    ]);
    expect(() => findSubjects([join(folder, "sgd", "seed-0")])).toThrow(
      /has no solution to compare: it diverged/,
    );
    expect(() => findSubjects([race, join(race, "adam", "seed-0")])).toThrow(/is named twice/);
  });
});
