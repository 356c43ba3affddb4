/**
 * What goes wrong in training, for every method that inverts something: nothing crashes, θ stays finite, what is not
 * finite is not taken over, and the report says in words what a step did not do.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Objective } from "../../src/curvature/index.js";
import { dense, meanSquared, relu, sequential } from "../../src/nn/index.js";
import { setIdentity } from "../../src/optimizers/eigenbasis.js";
import { createOptimizer, type StepReport, type Training } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { type Network, objectiveOf } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
  // What portable factorizations keep for themselves is allocated by the first of each that is as large.
  const n = 64;
  const { spotrf, spotri, ssyevd, sgeqrf, sgesv } = runtime.blas.functions;
  const [A, B, w] = [
    runtime.buffer("f32", [n, n]),
    runtime.buffer("f32", [n, n]),
    runtime.buffer("f32", [n]),
  ] as const;
  for (const factorize of [
    () => spotrf(n, A.address, n),
    () => spotri(n, A.address, n),
    () => ssyevd(n, A.address, n, w.address),
    () => sgeqrf(n, n, A.address, n, B.address, n),
    () => sgesv(n, 1, A.address, n, w.address, 1),
  ]) {
    setIdentity(A);
    factorize();
  }
  for (const buffer of [A, B, w]) buffer.release();
});
afterAll(() => runtime.close());

/** Everything is renewed at every step, and nothing is damped that need not be. */
const kronecker = { factorInterval: 1, inverseInterval: 1, momentum: 0, damping: 1e-12 };
const variants: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ["newton", {}],
  ["newton", { globalization: "levenbergMarquardt", damping: 0 }],
  ["newton", { globalization: "gridSearch", damping: 0, curvature: "gaussNewton" }],
  ["newton", { globalization: "none", damping: 0, curvature: "gaussNewton" }],
  ["lbfgs", {}],
  ["lbfgs", { lineSearch: "none" }],
  ["hessianFree", { damping: 1e-12 }],
  ["hessianFree", { damping: 1e-12, preconditioner: "kfac", factorInterval: 1, inverseInterval: 1 }],
  ["naturalGradient", { damping: 0 }],
  ["naturalGradient", { damping: 0, solver: "dense" }],
  ["kfac", kronecker],
  ["kfac", { ...kronecker, step: "quadratic", dampingInterval: 1 }],
  ["ekfac", kronecker],
  ["shampoo", { interval: 1 }],
  ["soap", { interval: 1 }],
];

const network: Network = {
  layer: sequential(dense(5), relu(), dense(3)),
  input: [4],
  loss: meanSquared(),
  targets: "numbers",
  dtype: "f32",
};

const allFinite = (values: ArrayLike<number>) => Array.from(values).every(Number.isFinite);

/** Steps on a problem, each checked; `before` may spoil what step k meets. */
function run(
  [name, settings]: (typeof variants)[number],
  given: { readonly network?: Network; readonly steps?: number },
  before: (objective: Objective, training: Training, k: number) => void = () => {},
): { readonly reports: readonly StepReport[]; readonly loss: number } {
  const used = runtime.used;
  const objective = objectiveOf(runtime, given.network ?? network);
  const training = createOptimizer(name, settings).start(objective);
  const reports: StepReport[] = [];
  for (let k = 0; k < (given.steps ?? 5); k++) {
    before(objective, training, k);
    const theta = objective.parameters.copy();
    const report = training.step();
    reports.push(report);
    expect(allFinite(objective.parameters.data), `θ after step ${k}`).toBe(true);
    if (report.diagnostics!.accepted === false) expect(objective.parameters.data).toEqual(theta);
    if (!report.finite) expect(report.diagnostics).toMatchObject({ accepted: false });
    // SOAP's first step only collects, and what has converged has no more to say.
    const silent = report.stop === "converged" || (name === "soap" && k === 0);
    if (report.diagnostics!.accepted === false && !silent)
      expect(report.diagnostics!.fallback, `step ${k}`).toMatch(/\w+ \w+/);
  }
  const loss = objective.loss();
  training.release();
  objective.release();
  expect(runtime.used).toBe(used);
  return { reports, loss };
}

describe.each(variants)("%s %j", (name, settings) => {
  const variant = [name, settings] as const;
  // A bare step in a system without damping may go anywhere.
  const isGuarded = settings.globalization !== "none" && settings.lineSearch !== "none";

  test("inputs of zero, a dead layer, one example, features that are copies: finite, and no worse", () => {
    const spoiled: Record<string, (objective: Objective) => void> = {
      "one example": () => {},
      "inputs of zero": ({ batch }) => batch[0]!.data.fill(0),
      "a dead layer": ({ parameters, layout }) => {
        const { offset, size } = layout.entry("layers.0.bias");
        parameters.data.fill(-1e3, offset, offset + size);
      },
      "features that are copies": ({ batch }) => {
        const { data } = batch[0]!;
        for (let k = 0; k < data.length; k++) data[k] = data[k - (k % 4)]!;
      },
    };
    for (const [what, spoil] of Object.entries(spoiled)) {
      let first: number | undefined;
      const { reports, loss } = run(
        variant,
        { network: what === "one example" ? { ...network, examples: 1 } : network },
        (objective, _training, k) => {
          if (k > 0) return;
          spoil(objective);
          first = objective.loss();
        },
      );
      expect(reports.every(({ finite }) => finite)).toBe(true);
      if (isGuarded && ["newton", "lbfgs", "hessianFree", "naturalGradient"].includes(name))
        expect(loss, what).toBeLessThanOrEqual(first! * (1 + 1e-6));
    }
  });

  test("a loss that overflows, and numbers that are none: the step is refused, in words; then it goes on", () => {
    for (const wrong of [Number.NaN, 1e30]) {
      let kept: number[] = [];
      const { reports } = run(variant, {}, ({ batch: [x, y] }, _training, k) => {
        if (k === 2) {
          kept = [x!.data[0]!, y!.data[0]!];
          x!.data[0] = y!.data[0] = wrong;
        }
        if (k === 3) [x!.data[0], y!.data[0]] = kept as [number, number];
      });
      expect(reports.map(({ finite }) => finite)).toEqual([true, true, false, true, true]);
      expect(reports[2]!.diagnostics!.fallback).toMatch(/(is|were) not finite/);
      if (isGuarded) expect(reports.at(-1)!.loss).toBeLessThanOrEqual(reports[1]!.loss);
    }
  });
});

describe.each(variants.filter(([name]) => ["kfac", "ekfac", "shampoo", "soap"].includes(name)))(
  "%s %j, with a factor that is not finite",
  (name, settings) => {
    test("keeps θ finite, and learns", () => {
      const { reports } = run([name, settings], { steps: 8 }, (_objective, { state }, k) => {
        if (k !== 2) return;
        const factor = Object.keys(state).find((key) => /^(factor|statistics)\./.test(key))!;
        state[factor]!.data[0] = Number.NaN;
      });
      const told = reports.filter(({ diagnostics }) => diagnostics!.fallback !== undefined);
      if (name === "shampoo" || name === "soap") expect(told.length).toBeGreaterThan(0);
      expect(reports.at(-1)!.loss).toBeLessThan(reports[2]!.loss);
    });
  },
);

test.each([
  ["kfac", { ...kronecker, learningRate: 1e30, klClip: 0 }],
  ["ekfac", { ...kronecker, learningRate: 1e30, klClip: 0 }],
  ["shampoo", { interval: 1, learningRate: 1e30 }],
  ["soap", { interval: 1, learningRate: 1e15 }],
  ["lbfgs", { lineSearch: "none", learningRate: 1e30 }],
  ["naturalGradient", { globalization: "none", learningRate: 1e30 }],
  ["newton", { globalization: "none", learningRate: 1e30 }],
] as const)(
  "%s with a learning rate without reason: the next loss overflows and no further step is taken",
  (name, settings) => {
    const { reports } = run([name, settings], { steps: 4 });
    const last = reports.at(-1)!;
    expect(last.diagnostics).toMatchObject({ accepted: false });
    expect(last.diagnostics!.fallback).toMatch(/not (finite|taken)|taken back/);
  },
);

test("damping rises where the exact model's step raised the loss too far", () => {
  const settings = { ...kronecker, step: "quadratic", dampingInterval: 1, damping: 1e-8 };
  const { reports } = run(["kfac", settings], { steps: 6 }, ({ batch: [x] }, _training, k) => {
    // The quadratic model knows nothing of the units that a step this long switches on.
    if (k === 0) for (let i = 0; i < x!.size; i++) x!.data[i]! *= 1e3;
  });
  const dampings = reports.map(({ diagnostics }) => diagnostics!.damping!);
  expect(Math.max(...dampings)).toBeGreaterThan(dampings[0]!);
});
