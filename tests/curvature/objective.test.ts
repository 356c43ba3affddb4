import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { grad } from "../../src/autodiff/index.js";
import { createObjective, gradientOf } from "../../src/curvature/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { array } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { concat, type Tensor } from "../../src/tensor/tensor.js";
import { numbers, smallObjective } from "../optimizers/small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const f64 = (shape: readonly number[]) => ({ dtype: "f64" as const, shape });

describe("gradientOf", () => {
  const both = (n: number, loss: (theta: Tensor) => Tensor) => {
    const theta = array(Float64Array.from(numbers(n)), [n]);
    const program = trace((x) => [gradientOf(loss(x!), x!), grad(loss)(x!)], theta);
    const [ours, plain] = evaluate(program, [theta]);
    return { ours: [...ours!.data], plain: [...plain!.data], program };
  };
  const cases: Record<string, (x: Tensor) => Tensor> = {
    "slices side by side": (x) =>
      x
        .slice(0, 0, 4)
        .square()
        .sum()
        .add(x.slice(0, 4, 9).exp().sum()),
    "a slice that is not used": (x) =>
      x
        .slice(0, 2, 4)
        .square()
        .sum()
        .add(x.slice(0, 6, 7).exp().sum()),
    "a slice used twice": (x) =>
      x
        .slice(0, 0, 3)
        .inner(x.slice(0, 0, 3).exp())
        .add(x.slice(0, 3).sum()),
    "overlapping slices": (x) =>
      x
        .slice(0, 0, 5)
        .exp()
        .sum()
        .add(x.slice(0, 3, 8).square().sum()),
    "the whole vector beside slices": (x) =>
      x
        .square()
        .sum()
        .add(x.slice(0, 1, 4).exp().sum()),
    "only the whole vector": (x) => x.square().sum(),
    "every second element": (x) =>
      x
        .slice(0, 0, 9, 2)
        .square()
        .sum()
        .add(x.slice(0, 0, 2).sum()),
    "no dependence": (x) => x.slice(0, 0, 3).stopGradient().square().sum(),
  };
  for (const [name, loss] of Object.entries(cases))
    test(name, () => {
      const { ours, plain } = both(9, loss);
      ours.forEach((value, k) => {
        expect(value).toBeCloseTo(plain[k]!, 14);
      });
    });

  test("agrees with differentiation by θ for any set of slices", () => {
    const slice = fc
      .tuple(fc.nat(11), fc.nat(11))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b) + 1] as const);
    fc.assert(
      fc.property(fc.array(slice, { minLength: 1, maxLength: 6 }), (slices) => {
        const { ours, plain } = both(12, (x) =>
          slices
            .map(([start, limit], k) =>
              x
                .slice(0, start, limit)
                .mul(k + 1)
                .sin()
                .sum(),
            )
            .reduce((sum, term) => sum.add(term)),
        );
        ours.forEach((value, k) => {
          expect(value).toBeCloseTo(plain[k]!, 12);
        });
      }),
      { numRuns: 60 },
    );
  });

  test("slices that tile θ give one concatenation and no padding", () => {
    const theta = f64([9]);
    const program = trace(
      (x) => gradientOf(x!.slice(0, 0, 4).exp().sum().add(x!.slice(0, 4).exp().sum()), x!),
      theta,
    );
    expect(program.outputs[0]!.op.kind).toBe("concat");
    expect(program.outputs[0]!.inputs.map((t) => t.shape)).toEqual([[4], [5]]);
  });
});

describe("objective", () => {
  test("loss and gradient at θ", () => {
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: f64([2]) }),
      parameters: [3, 4],
      batch: [],
      trace: (x) => ({ loss: x.square().sum().mul(0.5), state: undefined }),
    });
    expect(objective.loss()).toBe(12.5);
    const { loss, gradient } = objective.gradient();
    expect(loss).toBe(12.5);
    expect([...gradient.data]).toEqual([3, 4]);
    objective.parameters.set([1, 0]);
    expect(objective.loss()).toBe(0.5);
    objective.release();
  });

  test("the gradient agrees with central differences", () => {
    const objective = smallObjective(runtime);
    const gradient = [...objective.gradient().gradient.data];
    const theta = [...objective.parameters.data];
    const h = 1e-6;
    gradient.forEach((g, k) => {
      const at = (x: number) => {
        objective.parameters.data[k] = x;
        return objective.loss();
      };
      expect((at(theta[k]! + h) - at(theta[k]! - h)) / (2 * h)).toBeCloseTo(g, 8);
      objective.parameters.data[k] = theta[k]!;
    });
    objective.release();
  });

  test("asking changes neither θ nor the model's state, and everything is given back", () => {
    const before = runtime.used;
    const objective = createObjective(runtime, {
      layout: layoutOf({ x: f64([3]) }),
      parameters: [1, 2, 3],
      state: [5],
      batch: [f64([3])],
      trace: (x, [y], state) => ({ loss: x.inner(y!).add(state!.sum()), state: state!.mul(0.5) }),
    });
    objective.batch[0]!.set([1, 1, 1]);
    expect(objective.loss()).toBe(11);
    objective.gradient();
    expect([...objective.state!.data]).toEqual([5]);
    expect([...objective.parameters.data]).toEqual([1, 2, 3]);
    objective.release();
    expect(runtime.used).toBe(before);
  });

  test("refuses a loss that is not one number and a state that changes its shape", () => {
    const make = (trace: Parameters<typeof createObjective>[1]["trace"], state?: number[]) =>
      createObjective(runtime, {
        layout: layoutOf({ x: f64([3]) }),
        batch: [],
        trace,
        ...(state ? { state } : {}),
      });
    expect(() => make((x) => ({ loss: x, state: undefined })).loss()).toThrow(
      "objective: the loss must be one f64 number, not f64[3]",
    );
    expect(() => make((x, _, s) => ({ loss: x.sum(), state: concat([s!, s!]) }), [1]).loss()).toThrow(
      "objective: the model's state was [1] and became [2]",
    );
    expect(() => make((x) => ({ loss: x.sum(), state: undefined }), [1]).loss()).toThrow(
      "objective: the model's state was [1] and became absent",
    );
  });
});
