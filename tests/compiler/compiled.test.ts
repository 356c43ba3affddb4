import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pullback } from "../../src/autodiff/index.js";
import { compile } from "../../src/compiler/compile.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { NDArray } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { trace } from "../../src/tensor/program.js";
import { full, iota, type Tensor } from "../../src/tensor/tensor.js";
import { cases, differentiable, programOf, sample, uniform } from "../tensor/cases.js";
import { build, choice } from "./programs.js";
import { expectClose, run } from "./run.js";

const runtimes: Record<string, Runtime> = {};
beforeAll(async () => {
  runtimes.default = await createRuntime({ threads: 1 });
  runtimes.portable = await createRuntime({ threads: 1, blas: "portable" });
});
afterAll(async () => {
  for (const runtime of Object.values(runtimes)) await runtime.close();
});

const tolerance = { f32: 1e-5, f64: 1e-12 } as const;

describe.each(["default", "portable"])("compiled by definition, %s backend", (backend) => {
  for (const dtype of ["f32", "f64"] as const)
    it.each(cases.map((row) => [`${row.kind}: ${row.name}`, row] as const))(`%s, ${dtype}`, (_name, row) => {
      const program = programOf(row, dtype);
      const inputs = sample(row, dtype);
      expectClose(run(runtimes[backend]!, program, inputs), evaluate(program, inputs), tolerance[dtype]);
    });

  it.each(
    cases
      .filter((row) => row.inputs.some(differentiable) && programOf(row, "f64").outputs[0]!.dtype === "f64")
      .map((row) => [`${row.kind}: ${row.name}`, row] as const),
  )("derivatives of %s", (_name, row) => {
    const plain = programOf(row, "f64");
    const output = plain.outputs[0]!;
    const wrt = plain.inputs.filter((_, k) => differentiable(row.inputs[k]!));
    // Different weights for each element, so that a misplaced cotangent shows.
    const weights = iota([Math.max(1, output.size)], 0, "f64")
      .mul(0.37)
      .add(0.5)
      .slice(0, 0, output.size)
      .reshape(output.shape);
    const gradients = pullback([output], wrt, [weights]).map((g, k) => g ?? full(wrt[k]!, 0));
    const program = { inputs: plain.inputs, outputs: [output, ...gradients] };
    const inputs = sample(row, "f64");
    expectClose(run(runtimes[backend]!, program, inputs), evaluate(program, inputs), 1e-11);
  });
});

describe("random programs", () => {
  it("compute what their definition says, and so do their gradients", () => {
    fc.assert(
      fc.property(
        fc.array(choice, { minLength: 1, maxLength: 14 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 13 }),
        (choices, m, n) => {
          const program = trace(
            (a, b, c) => {
              const made = build(choices, [a!, b!, c!]);
              const picked = made.slice(-3);
              const total = picked.reduce(
                (sum, t) => sum.add(t.square().mean()),
                full({ dtype: "f64", shape: [] }, 0),
              );
              const gradients = pullback([total], [a!, b!, c!], [full(total, 1)]).map(
                (g, k) => g ?? full([a!, b!, c!][k]!, 0),
              );
              return [...picked, total, ...gradients];
            },
            { dtype: "f64", shape: [m, n] },
            { dtype: "f64", shape: [n, m] },
            { dtype: "f64", shape: [n] },
          );
          const random = uniform(m * 100 + n);
          const inputs = program.inputs.map(
            (input): NDArray => ({
              dtype: "f64",
              shape: input.shape,
              data: Float64Array.from({ length: input.size }, () => 2 * random() - 1),
            }),
          );
          expectClose(run(runtimes.default!, program, inputs), evaluate(program, inputs), 1e-10);
        },
      ),
      { numRuns: 400, seed: 7 },
    );
  });
});

describe("buffers", () => {
  it("updates in place where an output is bound to an input", () => {
    const runtime = runtimes.default!;
    const theta = runtime.buffer("f64", [5]);
    theta.set([1, 2, 3, 4, 5]);
    const step = compile(
      runtime,
      trace((x, g) => [x.sub(g.mul(0.5))], theta, theta),
      { inputs: [theta], outputs: [theta] },
    );
    step.inputs[1]!.set([2, 2, 2, 2, 2]);
    step.run();
    step.run();
    expect([...theta.data]).toEqual([-1, 0, 1, 2, 3]);
  });
  it("keeps the old value alive for those who still read it", () => {
    const runtime = runtimes.default!;
    const x = runtime.buffer("f64", [4]);
    x.set([1, 2, 3, 4]);
    // The reversed read must not see what the update has written.
    const step = compile(
      runtime,
      trace((t) => [t.add(t.reverse(0)), t.sum()], x),
      { inputs: [x], outputs: [x] },
    );
    step.run();
    expect([...x.data]).toEqual([5, 5, 5, 5]);
    expect(step.outputs[1]!.data[0]).toBe(10);
  });
  it("gives memory back", () => {
    const runtime = runtimes.default!;
    const before = runtime.used;
    const executable = compile(
      runtime,
      trace((t) => t.matmul(t).tanh(), { dtype: "f32", shape: [50, 50] }),
    );
    expect(runtime.used).toBeGreaterThan(before);
    executable.release();
    expect(runtime.used).toBe(before);
  });
  it("refuses a buffer of another shape, and inputs of another trace", () => {
    const runtime = runtimes.default!;
    const small = runtime.buffer("f32", [3]);
    expect(() =>
      compile(
        runtime,
        trace((t) => t.neg(), { dtype: "f32", shape: [4] }),
        { inputs: [small] },
      ),
    ).toThrow(/input 0 is f32\[4\]/);
    let leaked: Tensor | undefined;
    trace((t) => {
      leaked = t;
      return t.neg();
    }, small);
    expect(() =>
      compile(
        runtime,
        trace((t) => t.add(leaked!), small),
      ),
    ).toThrow(/another traced function/);
  });
});
