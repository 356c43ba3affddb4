/** Programs on two and three threads against one; teams that live, grow their memory, end and are closed. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { valueAndGrad } from "../../src/autodiff/index.js";
import { compile } from "../../src/compiler/compile.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { NDArray, Spec } from "../../src/tensor/array.js";
import { trace } from "../../src/tensor/program.js";
import { scatterAdd, type Tensor } from "../../src/tensor/tensor.js";
import type { Tree } from "../../src/tensor/tree.js";
import { expectClose, expectSame, random, run } from "./run.js";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const runtimes = new Map<number, Runtime>();

beforeAll(async () => {
  if (!existsSync(`${dist}runtime/worker.js`))
    throw new Error('threads run the built package: run "npm run build" before these tests');
  for (const threads of [1, 2, 3]) runtimes.set(threads, await createRuntime({ threads }));
});
afterAll(async () => {
  for (const runtime of runtimes.values()) await runtime.close();
});

const f32 = (...shape: number[]): Spec => ({ dtype: "f32", shape });
const i32 = (...shape: number[]): Spec => ({ dtype: "i32", shape });
const valuesOf = (specs: readonly Spec[]): NDArray[] =>
  specs.map((spec, k) => random(spec.dtype, spec.shape, 17 + k, 50));

interface Row {
  readonly name: string;
  readonly specs: readonly Spec[];
  readonly apply: (...inputs: Tensor[]) => Tree<Tensor>;
  /** Relative difference allowed between numbers of threads; 0: the same bits. */
  readonly tolerance: number;
}
const sums = 2e-6;
const window = {
  kernel: [3, 3],
  stride: [1, 1],
  padding: [
    [1, 1],
    [1, 1],
  ],
  dilation: [1, 1],
} as const;

/** mean of squared errors of a network with two hidden layers, and a step of gradient descent. */
function trainingStep(x: Tensor, y: Tensor, ...weights: Tensor[]): Tree<Tensor> {
  const loss = (...w: Tensor[]) => {
    const first = x.matmul(w[0]!).add(w[1]!).relu();
    const second = first.matmul(w[2]!).add(w[3]!).tanh();
    return second.matmul(w[4]!).add(w[5]!).sub(y).square().mean();
  };
  const { value, gradients } = gradientsOf(loss, weights);
  return [value, ...weights.map((w, k) => w.sub(gradients[k]!.mul(0.05)))];
}
function gradientsOf(loss: (...w: Tensor[]) => Tensor, weights: readonly Tensor[]) {
  const [value, gradients] = valueAndGrad((w: Tensor[]) => loss(...w))([...weights]);
  return { value, gradients };
}

const rows: readonly Row[] = [
  {
    name: "elementwise",
    specs: [f32(631, 257), f32(631, 257)],
    apply: (x, y) => [x!.tanh().mul(y!).exp(), x!.gt(y!).select(x!, y!.sigmoid())],
    tolerance: 0,
  },
  {
    name: "elementwise of a row and a column",
    specs: [f32(523, 1), f32(1, 301)],
    apply: (x, y) => x!.add(y!).sin(),
    tolerance: 0,
  },
  {
    name: "elementwise through a transposition",
    specs: [f32(431, 307), f32(307, 431)],
    apply: (x, y) => x!.transpose().mul(0.5).add(y!.exp()),
    tolerance: 0,
  },
  { name: "softmax", specs: [f32(509, 259)], apply: (x) => x!.softmax(), tolerance: 0 },
  {
    name: "reductions along rows",
    specs: [f32(509, 259)],
    apply: (x) => [x!.sum(1), x!.maximum(1), x!.square().mean(1, true).sqrt()],
    tolerance: 0,
  },
  {
    name: "reductions over rows",
    specs: [f32(509, 259)],
    apply: (x) => [x!.sum(0), x!.maximum(0)],
    tolerance: sums,
  },
  {
    name: "reductions over everything",
    specs: [f32(509, 259)],
    apply: (x) => [x!.abs().sum(), x!.maximum(), x!.square().sum(1).sum()],
    tolerance: sums,
  },
  {
    name: "reductions over a middle axis",
    specs: [f32(53, 40, 67)],
    apply: (x) => [x!.sum(1), x!.maximum(1)],
    tolerance: 0,
  },
  {
    name: "sums over the first and last of three axes",
    specs: [f32(53, 40, 67)],
    // Such a sum runs on one thread, beside what all share.
    apply: (x) => [x!.sum([0, 2]), x!.tanh()],
    tolerance: sums,
  },
  {
    name: "products, tall, wide and square",
    specs: [f32(1001, 70), f32(70, 65), f32(37, 301), f32(301, 1501), f32(190, 190)],
    apply: (a, b, c, d, e) => [a!.matmul(b!), c!.matmul(d!), e!.transpose().matmul(e!)],
    tolerance: sums,
  },
  {
    name: "batched products",
    specs: [f32(7, 90, 80), f32(7, 80, 70)],
    apply: (a, b) => [a!.matmul(b!), b!.transpose().matmul(a!.transpose())],
    tolerance: sums,
  },
  {
    name: "convolution and its derivatives",
    specs: [f32(9, 17, 15, 6), f32(54, 16)],
    apply: (x, w) => {
      const [value, gradients] = valueAndGrad(([image, weights]: Tensor[]) =>
        image!.patches(window).reshape([-1, 54]).matmul(weights!).tanh().square().sum(),
      )([x!, w!]);
      return [value, ...gradients];
    },
    tolerance: 1e-5,
  },
  {
    name: "gather and scatter",
    specs: [f32(50, 201), i32(911), f32(911, 201)],
    apply: (table, indices, updates) => [
      table!.gather(indices!).mul(updates!),
      scatterAdd(indices!, updates!, 50),
    ],
    tolerance: 0,
  },
  {
    name: "running sums and arg max",
    specs: [f32(801, 301)],
    apply: (x) => [x!.cumsum(1), x!.cumsum(0), x!.argMax(1), x!.argMax(0)],
    tolerance: 0,
  },
  {
    name: "a concatenation and padding",
    specs: [f32(401, 101), f32(401, 203)],
    apply: (a, b) => [
      a!.transpose().pad([
        [1, 2],
        [3, 0],
      ]),
      a!
        .exp()
        .sub(b!.slice(1, 0, 101))
        .reshape([-1])
        .sum(),
      b!.tanh().reverse(0),
    ],
    tolerance: sums,
  },
  {
    name: "a training step of a network",
    specs: [f32(256, 60), f32(256, 10), f32(60, 100), f32(100), f32(100, 80), f32(80), f32(80, 10), f32(10)],
    apply: (x, y, ...weights) => trainingStep(x!, y!, ...weights),
    tolerance: sums,
  },
];

describe.each([2, 3])("%i threads", (threads) => {
  it.each(rows.map((row) => [row.name, row] as const))("compute as one does: %s", (_name, row) => {
    const program = trace(row.apply, ...row.specs);
    const inputs = valuesOf(row.specs);
    const wanted = run(runtimes.get(1)!, program, inputs);
    const runtime = runtimes.get(threads)!;
    const executable = compile(runtime, program);
    expect(executable.threads).toBe(threads);
    inputs.forEach((value, k) => {
      executable.inputs[k]!.set(value.data);
    });
    const results = () =>
      executable.outputs.map((b): NDArray => ({ dtype: b.dtype, shape: b.shape, data: b.copy() }));
    executable.run();
    const first = results();
    if (row.tolerance === 0) expectSame(first, wanted);
    else expectClose(first, wanted, row.tolerance);
    // A missing barrier shows now and then only.
    for (let repetition = 0; repetition < 40; repetition++) {
      for (const output of executable.outputs) output.data.fill(0);
      executable.run();
      expectSame(results(), first);
    }
    executable.release();
  });

  it("leave a small program to one", () => {
    const executable = compile(
      runtimes.get(threads)!,
      trace((x) => x!.exp(), f32(10)),
    );
    expect(executable.threads).toBe(1);
    executable.release();
  });

  it("update in place as one does", () => {
    const specs = [f32(90_001), f32(90_001)];
    const [theta, gradient] = valuesOf(specs) as [NDArray, NDArray];
    const results = [1, threads].map((count) => {
      const runtime = runtimes.get(count)!;
      const buffer = runtime.buffer("f32", [90_001]);
      buffer.set(theta.data);
      const step = compile(
        runtime,
        trace((x, g) => [x!.mul(0.99).sub(g!.mul(0.1)).tanh()], ...specs),
        { inputs: [buffer], outputs: [buffer] },
      );
      step.inputs[1]!.set(gradient.data);
      for (let k = 0; k < 30; k++) step.run();
      const result: NDArray = { dtype: "f32", shape: buffer.shape, data: buffer.copy() };
      step.release();
      buffer.release();
      return [result];
    });
    expectSame(results[1]!, results[0]!);
  });

  it("take programs in turn, old and new", () => {
    const runtime = runtimes.get(threads)!;
    const programs = [0.5, 0.25, 2].map((factor) =>
      compile(
        runtime,
        trace((x) => x!.mul(factor).add(1), f32(150_000)),
      ),
    );
    const late: (typeof programs)[number][] = [];
    for (let round = 0; round < 20; round++) {
      for (const [k, executable] of programs.entries()) {
        executable.inputs[0]!.data.fill(round + k);
        executable.run();
        expect(executable.outputs[0]!.data.every((v) => v === [0.5, 0.25, 2][k]! * (round + k) + 1)).toBe(
          true,
        );
      }
      late.pop()?.release();
      late.push(
        compile(
          runtime,
          trace((x) => x!.sub(round), f32(120_000)),
        ),
      );
      late[0]!.inputs[0]!.data.fill(round);
      late[0]!.run();
      expect(late[0]!.outputs[0]!.data.every((v) => v === 0)).toBe(true);
    }
    for (const executable of [...programs, ...late]) executable.release();
  });
});

describe("a team", () => {
  it("works on while its memory grows", async () => {
    const runtime = await createRuntime({ threads: 2 });
    const program = trace((x) => [x!.mul(3), x!.sum(0)], f32(200, 1000));
    const before = compile(runtime, program);
    before.inputs[0]!.data.fill(1);
    before.run();
    const size = runtime.reserved;
    const large = runtime.buffer("f32", [2 * size]);
    expect(runtime.reserved).toBeGreaterThan(2 * size);
    large.data.fill(7);
    const after = compile(runtime, program, { inputs: [before.inputs[0]] });
    for (const executable of [before, after]) {
      for (const output of executable.outputs) output.data.fill(0);
      executable.run();
      expect(executable.outputs[0]!.data.every((v) => v === 3)).toBe(true);
      expect(executable.outputs[1]!.data.every((v) => v === 200)).toBe(true);
    }
    expect(large.data.every((v) => v === 7)).toBe(true);
    await runtime.close();
  });

  it.each([1, 2])("of %i is closed once, and then refuses work", async (threads) => {
    const runtime = await createRuntime({ threads });
    const program = trace((x) => x!.exp(), f32(200_000));
    const executable = compile(runtime, program);
    executable.inputs[0]!.data.fill(0);
    executable.run();
    expect(runtime.closed).toBe(false);
    await Promise.all([runtime.close(), runtime.close()]);
    await runtime.close();
    expect(runtime.closed).toBe(true);
    expect(() => executable.run()).toThrow(
      /^run: the runtime of this executable is closed; compile it for another one$/,
    );
    expect(() => compile(runtime, program)).toThrow(/^compile: the runtime is closed; create another/);
    expect(executable.outputs[0]!.data[0]).toBe(1);
    executable.release();
  });

  it("does not keep a process alive", async () => {
    const script = `
      const { compile, createRuntime, trace } = await import(${JSON.stringify(`file://${dist}index.js`)});
      const runtime = await createRuntime({ threads: 3 });
      const executable = compile(runtime, trace((x) => x.exp(), { dtype: "f32", shape: [300000] }));
      executable.run();
      console.log(executable.threads, executable.outputs[0].data[299999]);
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
      timeout: 30_000,
    });
    expect(stdout).toBe("3 1\n");
  });
});
