/** Memory of random programs: no step may find another value where it reads, nor write where it still reads. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pullback } from "../../src/autodiff/index.js";
import { compile } from "../../src/compiler/compile.js";
import { type Bindings, type Plan, plan } from "../../src/compiler/plan.js";
import { type Schedule, schedule } from "../../src/compiler/schedule.js";
import { simplify } from "../../src/compiler/simplify.js";
import type { Root, Step } from "../../src/compiler/step.js";
import { createMemory } from "../../src/runtime/memory.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { NDArray } from "../../src/tensor/array.js";
import { bytesOf } from "../../src/tensor/dtype.js";
import { evaluate } from "../../src/tensor/evaluate.js";
import { type Program, trace } from "../../src/tensor/program.js";
import { concat, full, scatterAdd, type Tensor } from "../../src/tensor/tensor.js";
import { build, choice } from "./programs.js";
import { expectClose, random } from "./run.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const written = (step: Step): Root[] =>
  step.kind === "loop" ? step.outputs.map((o) => o.root).filter((root) => root.storage) : [step.root];
const ownerOf = (root: Root): Root => {
  let at = root;
  while (at.storage && at.storage.root !== at) at = at.storage.root;
  return at;
};

/** Walks the steps and notes, word by word, whose value the memory holds. */
function walk({ steps, inputs, outputs, constants }: Schedule, { address, ...planned }: Plan): void {
  const holds = new Map<number, Root>();
  const wordsOf = (root: Root) =>
    Array.from({ length: (root.size * bytesOf(root.dtype)) / 4 }, (_, k) => address(root) + 4 * k);
  const note = (root: Root) => {
    for (const word of wordsOf(root)) holds.set(word, ownerOf(root));
  };
  const check = (root: Root, what: string) => {
    for (const word of wordsOf(root))
      if (holds.get(word) !== ownerOf(root))
        expect.fail(`${what}: word ${word} of root ${root.id} holds root ${holds.get(word)?.id}`);
  };
  for (const root of [...inputs, ...constants.keys()]) note(root);
  steps.forEach((step, index) => {
    for (const root of step.reads) check(root, `step ${index} reads`);
    const read = new Map<number, Root>();
    for (const root of step.reads) for (const word of wordsOf(root)) read.set(word, root);
    for (const root of written(step)) {
      for (const word of wordsOf(root)) {
        const other = read.get(word);
        if (other && !inputs.includes(other))
          expect.fail(`step ${index} overwrites root ${other.id} as it reads it`);
      }
      note(root);
    }
  });
  const late = new Map(planned.copies.map((copy) => [copy.to, copy]));
  outputs.forEach((root, k) => {
    const to = planned.outputs[k]!.address;
    check(root, `output ${k}`);
    const copy = late.get(to);
    expect(copy ? copy.from : to).toBe(address(root));
    if (copy) expect(copy.bytes).toBe(root.size * bytesOf(root.dtype));
  });
}

/** Random values of three matrices, and their gradients. */
const programOf = (choices: readonly (readonly [number, number, number])[], m: number, n: number): Program =>
  trace(
    (a, b, c) => {
      const inputs = [a!, b!, c!];
      const made = build(choices, inputs).slice(-3);
      const total = made.reduce((sum, t) => sum.add(t.square().mean()), full({ dtype: "f64", shape: [] }, 0));
      const gradients = pullback([total], inputs, [full(total, 1)]).map((g, k) => g ?? full(inputs[k]!, 0));
      return [...made, ...gradients, ...gradients.map((g, k) => inputs[k]!.sub(g.mul(0.1)))];
    },
    { dtype: "f64", shape: [m, n] },
    { dtype: "f64", shape: [n, m] },
    { dtype: "f64", shape: [n] },
  );

describe("planned memory", () => {
  it("holds what each step reads", () => {
    fc.assert(
      fc.property(
        fc.array(choice, { minLength: 1, maxLength: 18 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 7 }),
        (choices, m, n) => {
          const scheduled = schedule(simplify(programOf(choices, m, n)));
          walk(scheduled, plan(scheduled, createMemory(false)));
        },
      ),
      { numRuns: 300, seed: 11 },
    );
  });

  it("holds it too where outputs take the place of inputs", () => {
    fc.assert(
      fc.property(
        fc.array(choice, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 7 }),
        (choices, m, n) => {
          const program = programOf(choices, m, n);
          const scheduled = schedule(simplify(program));
          const memory = createMemory(false);
          const inputs = program.inputs.map((t) => memory.buffer(t.dtype, t.shape));
          const count = program.outputs.length;
          const outputs = program.outputs.map((_, k) => (k >= count - 3 ? inputs[k - count + 3] : undefined));
          walk(scheduled, plan(scheduled, memory, { inputs, outputs }));
        },
      ),
      { numRuns: 200, seed: 12 },
    );
  });
});

/** Runs with outputs bound to the buffers of inputs, and compares with the definition. */
function inPlace(program: Program, target: readonly (number | undefined)[], seed: number): string[] {
  const values = program.inputs.map((t, k) => random(t.dtype, t.shape, seed + k));
  const inputs = program.inputs.map((t) => runtime.buffer(t.dtype, t.shape));
  const bindings: Bindings = {
    inputs,
    outputs: target.map((k) => (k === undefined ? undefined : inputs[k])),
  };
  const executable = compile(runtime, program, bindings);
  inputs.forEach((buffer, k) => {
    buffer.set(values[k]!.data);
  });
  executable.run();
  const results = executable.outputs.map(
    (b): NDArray => ({ dtype: b.dtype, shape: b.shape, data: b.copy() }),
  );
  const { steps } = executable;
  executable.release();
  for (const buffer of inputs) buffer.release();
  expectClose(results, evaluate(program, values), 1e-12);
  return [...steps];
}

describe("updates in place", () => {
  const square = { dtype: "f64", shape: [4, 4] } as const;
  const vector = { dtype: "f64", shape: [37] } as const;

  it("compute what they would elsewhere, wherever the outputs go", () => {
    fc.assert(
      fc.property(
        fc.array(choice, { minLength: 1, maxLength: 16 }),
        fc.shuffledSubarray([0, 1, 2], { minLength: 3, maxLength: 3 }),
        fc.nat(1000),
        (choices, order, seed) => {
          const program = trace(
            (...inputs) => {
              const made = build(choices, inputs).filter(
                (t) => t.rank === 2 && t.shape.every((n) => n === 4),
              );
              const last = made.slice(-3);
              return [...last, ...last.slice(-1).map((t) => t.sum())];
            },
            square,
            square,
            square,
          );
          inPlace(program, [...order, undefined], seed);
        },
      ),
      { numRuns: 500, seed: 13 },
    );
  });

  const rows: readonly [string, Program, readonly (number | undefined)[], number][] = [
    ["an exchange", trace((a, b) => [b!, a!], vector, vector), [0, 1], 2],
    ["an exchange with arithmetic", trace((a, b) => [b!.mul(2), a!.add(1)], vector, vector), [0, 1], 1],
    ["a rotation", trace((a, b, c) => [b!, c!, a!], vector, vector, vector), [0, 1, 2], 3],
    ["the input itself", trace((a) => [a!], vector), [0], 1],
    ["a reversal", trace((a) => [a!.reverse(0)], vector), [0], 1],
    ["a transposition", trace((a) => [a!.transpose().mul(2)], square), [0], 1],
    ["a softmax, whose rows are read again", trace((a) => [a!.softmax()], square), [0], 1],
    ["a product", trace((a) => [a!.matmul(a!)], square), [0], 1],
    ["a running sum", trace((a) => [a!.cumsum(0)], vector), [0], 1],
    ["a shifted copy", trace((a) => [concat([a!.slice(0, 1), a!.slice(0, 0, 1)], 0)], vector), [0], 1],
    [
      "pieces that are read late",
      trace((a) => [concat([a!.slice(0, 20).mul(2), a!.slice(0, 0, 20).mul(3)], 0)], vector),
      [0],
      1,
    ],
    ["rows stretched", trace((a) => [a!.add(a!.slice(0, 0, 1))], square), [0], 1],
    ["a sum that is read first", trace((a) => [a!.sub(a!.mean()), a!.sum()], vector), [0, undefined], 0],
    ["a value that another output reads", trace((a) => [a!.mul(2), a!.sum()], vector), [0, undefined], 0],
    [
      "a scatter into itself",
      trace((a) => [a!.add(scatterAdd(a!.cast("i32").abs(), a!, 37))], vector),
      [0],
      0,
    ],
  ];
  it.each(rows)("%s", (_name, program, target, copies) => {
    const steps = inPlace(program, target, 3);
    expect(steps.filter((step) => step === "copy").length).toBeLessThanOrEqual(copies);
  });

  it("two inputs in one buffer", () => {
    const buffer = runtime.buffer("f64", [37]);
    const f = (a: Tensor, b: Tensor) => [a.add(b.reverse(0))];
    const executable = compile(
      runtime,
      trace((a, b) => f(a!, b!), vector, vector),
      { inputs: [buffer, buffer], outputs: [buffer] },
    );
    buffer.set(Array.from({ length: 37 }, (_, k) => k * k));
    executable.run();
    expect([...buffer.data]).toEqual(Array.from({ length: 37 }, (_, k) => k * k + (36 - k) ** 2));
    executable.release();
    buffer.release();
  });

  it("two outputs in one buffer are refused", () => {
    const buffer = runtime.buffer("f64", [37]);
    expect(() =>
      compile(
        runtime,
        trace((a) => [a!.neg(), a!.exp()], vector),
        { outputs: [buffer, buffer] },
      ),
    ).toThrow(/^compile: two outputs are bound to one buffer/);
    buffer.release();
  });
});
