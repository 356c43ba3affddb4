import { describe, expect, it } from "vitest";
import { architectureOf } from "../../src/advisor/read/objective.js";
import { curvatureOperator } from "../../src/curvature/index.js";
import { judgeRing } from "../../src/lab/problems/gan-gaussians.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { optimizerFor } from "../../src/lab/session.js";
import { createRuntime } from "../../src/runtime/runtime.js";

const runtime = await createRuntime({ threads: 1 });
const small = { hidden: "3", noise: 2, precision: "f64" } as const;
const start = (batch: number) =>
  openProblem({ name: "gan-gaussians", options: small }).start(runtime, { seed: 4, batch });

/** L_D and L_G of two networks 2-3-2 and 2-3-1 by plain loops: θ is theirs, rows are (x, z). */
function losses(theta: Float64Array, rows: Float64Array, offsets: readonly number[]) {
  const affine = (x: readonly number[], k: number, outputs: number) =>
    Array.from({ length: outputs }, (_, j) =>
      x.reduce(
        (sum, value, i) => sum + value * theta[offsets[k]! + i * outputs + j]!,
        theta[offsets[k + 1]! + j]!,
      ),
    );
  const network = (x: readonly number[], first: number, outputs: number) =>
    affine(affine(x, first, 3).map(Math.tanh), first + 2, outputs);
  const softplus = (o: number) => Math.log1p(Math.exp(o));
  const count = rows.length / 4;
  let [discriminator, generator] = [0, 0];
  for (let k = 0; k < count; k++) {
    const [x0, x1, z0, z1] = rows.subarray(4 * k, 4 * k + 4) as unknown as [number, number, number, number];
    const real = network([x0, x1], 4, 1)[0]!;
    const fake = network(network([z0, z1], 0, 2), 4, 1)[0]!;
    discriminator += (softplus(-real) + softplus(fake)) / count;
    generator += softplus(-fake) / count;
  }
  return { discriminator, generator };
}

describe("generative adversarial networks", () => {
  it("follow each player's own gradient", () => {
    const instance = start(5);
    const { objective } = instance;
    const { layout, parameters, batch } = objective;
    instance.load(0);
    const names = ["generator", "discriminator"].flatMap((player) =>
      [0, 2].flatMap((k) => [`${player}.layers.${k}.weight`, `${player}.layers.${k}.bias`]),
    );
    const offsets = names.map((name) => layout.entry(name).offset);
    const rows = Float64Array.from(batch[0]!.data);
    const at = Float64Array.from(parameters.data);
    const { loss, gradient } = objective.gradient();
    const here = losses(at, rows, offsets);
    expect(loss).toBeCloseTo(here.discriminator + here.generator, 10);
    const h = 1e-5;
    for (const { name, offset, size } of layout.entries)
      for (let k = offset; k < offset + size; k++) {
        const player = name.startsWith("generator") ? "generator" : "discriminator";
        const moved = [h, -h].map((step) => losses(at.with(k, at[k]! + step), rows, offsets)[player]);
        expect(gradient.data[k]).toBeCloseTo((moved[0]! - moved[1]!) / (2 * h), 7);
      }
    instance.release();
  });
  it("have curvature of each player by its own parameters, and no other", () => {
    const instance = start(5);
    const { objective } = instance;
    instance.load(0);
    const n = objective.layout.size;
    const boundary = objective.layout.entry("discriminator.layers.0.weight").offset;
    // In the order of θ the discriminator comes second, or first.
    const isDiscriminator = (k: number) =>
      boundary === 0 ? k < objective.layout.entry("generator.layers.0.weight").offset : k >= boundary;
    for (const kind of ["hessian", "gaussNewton"] as const) {
      const operator = curvatureOperator(objective, kind);
      operator.linearize();
      const v = Float64Array.from({ length: n }, (_, k) => (isDiscriminator(k) ? 1 : 0));
      const product = new Float64Array(n);
      operator.apply(v, product);
      const largest = (keep: (k: number) => boolean) =>
        Math.max(...product.filter((_, k) => keep(k)).map(Math.abs));
      expect(largest(isDiscriminator)).toBeGreaterThan(1e-3);
      expect(largest((k) => !isDiscriminator(k))).toBe(0);
      operator.release();
    }
    instance.release();
  });
  it("are trained by gradients and by curvature of the players", () => {
    const problem = openProblem({ name: "gan-gaussians", options: small });
    for (const [name, settings] of [
      ["adam", {}],
      ["kfac", {}],
      ["naturalGradient", { globalization: "none" }],
      ["newton", { globalization: "none", damping: 10 }],
      ["adahessian", {}],
      ["groups", {}],
    ] as const) {
      const instance = start(16);
      const before = instance.objective.parameters.copy();
      const training = optimizerFor(problem, { name, settings }).start(instance.objective);
      instance.load(0);
      expect(training.step().finite).toBe(true);
      expect(instance.objective.parameters.copy()).not.toEqual(before);
      training.release();
      instance.release();
    }
  });
  it("refuse methods that judge a step by the loss", () => {
    const problem = openProblem({ name: "gan-gaussians", options: small });
    const instance = start(16);
    for (const [name, settings, message] of [
      [
        "hessianFree",
        {},
        /^hessianFree compares the loss before and after a step, and here generator and discr/,
      ],
      ["newton", {}, /newton with globalization=trustRegion compares.*; use globalization=none$/],
      ["lbfgs", {}, /lbfgs with lineSearch=strongWolfe compares.*; use lineSearch=none$/],
      ["naturalGradient", {}, /naturalGradient with globalization=trustRegion compares/],
      [
        "kfac",
        { step: "quadratic" },
        /kfac with step=quadratic compares.*; use step=clip, or dampingInterval=0/,
      ],
      ["switchTo", { when: "plateau" }, /switchTo with when=plateau compares/],
      ["groups", { chosen: "hessianFree" }, /^hessianFree compares/],
    ] as const)
      expect(() => optimizerFor(problem, { name, settings }).start(instance.objective)).toThrow(message);
    instance.release();
  });
  it("are games to the advisor", () => {
    const instance = start(4);
    const { task, notes } = architectureOf(instance.objective, "ring");
    expect(task).toBe("adversarial");
    expect(notes).toContain("generator against discriminator: --task adversarial");
    instance.release();
  });
  it("draw new points of the ring each step, the same for the same seed", () => {
    const instance = start(200);
    const batch = (step: number) => {
      instance.load(step);
      return Float64Array.from(instance.objective.batch[0]!.data);
    };
    const first = batch(0);
    expect(batch(1)).not.toEqual(first);
    expect(batch(0)).toEqual(first);
    const points = Float64Array.from({ length: 400 }, (_, k) => first[4 * (k >> 1) + (k % 2)]!);
    expect(judgeRing(points, 0.05)).toMatchObject({ modes: 8 });
    expect(judgeRing(points, 0.05).highQuality).toBeGreaterThan(0.95);
    instance.release();
  });
  it("are judged by modes and by the share of points near them", () => {
    const ring = (modes: readonly number[], radius = 2) =>
      Float64Array.from(
        Array.from({ length: 800 }, (_, k) => (2 * Math.PI * modes[k % modes.length]!) / 8).flatMap(
          (angle) => [radius * Math.cos(angle), radius * Math.sin(angle)],
        ),
      );
    expect(judgeRing(ring([0, 1, 2, 3, 4, 5, 6, 7]), 0.05)).toEqual({ quality: 1, highQuality: 1, modes: 8 });
    expect(judgeRing(ring([3]), 0.05)).toEqual({ quality: 1 / 8, highQuality: 1, modes: 1 });
    expect(judgeRing(ring([-1, 1]), 0.05)).toEqual({ quality: 1 / 4, highQuality: 1, modes: 2 });
    // Between two modes, and outside of three deviations.
    expect(judgeRing(ring([0.5]), 0.05)).toEqual({ quality: 0, highQuality: 0, modes: 0 });
    expect(judgeRing(ring([0], 2.14), 0.05).modes).toBe(1);
    expect(judgeRing(ring([0], 2.16), 0.05).modes).toBe(0);
  });
});
