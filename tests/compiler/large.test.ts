/** Programs of thousands of steps: they compile, compute what they should, and their code grows in proportion. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { valueAndGrad } from "../../src/autodiff/index.js";
import { compile } from "../../src/compiler/compile.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Spec } from "../../src/tensor/array.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { type Program, trace } from "../../src/tensor/program.js";
import { scan } from "../../src/tensor/scan.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { expectClose, random, run } from "./run.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const f64 = (...shape: number[]): Spec => ({ dtype: "f64", shape });
const lossAndGradients = (loss: (w: Tensor[]) => Tensor, w: readonly Tensor[]): Tensor[] => {
  const [value, gradients] = valueAndGrad(loss)([...w]);
  return [value, ...gradients];
};

const recurrence = (length: number): Program =>
  trace(
    (xs, h0, ...weights) =>
      lossAndGradients(([w, u]) => {
        const [h, hs] = scan(
          (state: Tensor, x: Tensor): [Tensor, Tensor] => {
            const next = x.matmul(u!).add(state.matmul(w!)).tanh();
            return [next, next];
          },
          h0!,
          xs!,
        );
        return h.square().mean().add(hs.mean());
      }, weights),
    f64(length, 2, 3),
    f64(2, 4),
    f64(4, 4),
    f64(3, 4),
  );
const layers = (depth: number): Program =>
  trace(
    (x, ...weights) =>
      lossAndGradients(
        (w) =>
          w
            .reduce((h, m) => h.matmul(m).tanh().add(h), x!)
            .square()
            .mean(),
        weights,
      ),
    f64(3, 4),
    ...Array.from({ length: depth }, () => f64(4, 4)),
  );
const normalized = (x: Tensor): Tensor => {
  const centred = x.sub(x.mean(-1, true));
  return centred.div(centred.square().mean(-1, true).add(1e-5).sqrt());
};
/** Blocks of two heads of four features over five positions. */
const transformer = (depth: number): Program =>
  trace(
    (x, ...weights) =>
      lossAndGradients((w) => {
        let h = x!;
        for (let k = 0; k < depth; k++) {
          const [q, key, v, o, up, down] = w.slice(6 * k) as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
          const seen = normalized(h);
          const heads = (m: Tensor) => seen.matmul(m).reshape([2, 5, 2, 4]).permute([0, 2, 1, 3]);
          const mixed = heads(q).matmul(heads(key).transpose()).mul(0.5).softmax().matmul(heads(v));
          h = h.add(mixed.permute([0, 2, 1, 3]).reshape([2, 5, 8]).matmul(o));
          h = h.add(normalized(h).matmul(up).gelu().matmul(down));
        }
        return h.square().mean();
      }, weights),
    f64(2, 5, 8),
    ...Array.from({ length: depth }, () => [
      ...Array.from({ length: 4 }, () => f64(8, 8)),
      f64(8, 16),
      f64(16, 8),
    ]).flat(),
  );
/** Slices of one vector, each used on its own; its gradient is put together from as many pieces. */
const slices = (count: number): Program =>
  trace(
    (x) =>
      lossAndGradients(
        ([t]) =>
          Array.from({ length: count }, (_, k) =>
            t!
              .at(k)
              .mul(k / count)
              .tanh()
              .sum(),
          ).reduce((a, b) => a.add(b)),
        [x!],
      ),
    f64(count, 3),
  );
const powers = (count: number): Program =>
  trace((x) => {
    let y = x!.mul(0.5);
    for (let k = 0; k < count; k++) y = y.mul(y).add(y).mul(0.5);
    return y;
  }, f64(40));
const manyOutputs = (count: number): Program =>
  trace((x) => Array.from({ length: count }, (_, k) => x!.mul(k + 1).tanh()), f64(9));

const rows: readonly [string, (size: number) => Program, number][] = [
  ["gradient of a recurrence of 1000 steps", recurrence, 1000],
  ["gradient of 200 layers", layers, 200],
  ["gradient of a transformer of 12 blocks", transformer, 12],
  ["gradient of 2000 slices", slices, 2000],
  ["a chain of 4000 values", powers, 4000],
  ["2000 outputs of one input", manyOutputs, 2000],
];

describe("large programs", () => {
  it.each(rows)("%s", (_name, make, size) => {
    const program = make(size);
    const inputs = program.inputs.map((t, k) => random("f64", t.shape, k + 1));
    expectClose(run(runtime, program, inputs), evaluate(program, inputs), 1e-9);
  });

  it.each(rows)("%s: twice the size, at most twice the code", (_name, make, size) => {
    const [half, whole] = [size / 2, size].map((n) => {
      const executable = compile(runtime, make(n));
      executable.release();
      return executable;
    });
    expect(whole!.codeBytes).toBeLessThan(2.1 * half!.codeBytes);
    expect(whole!.steps.length).toBeLessThan(2.1 * half!.steps.length + 4);
  });
});
