import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openProblem } from "../../src/lab/problems/registry.js";
import { copyMemory, type Task, temporalOrder, twoNumbers } from "../../src/lab/problems/sequence-tasks.js";
import { optimizerFor } from "../../src/lab/session.js";
import { random } from "../../src/nn/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";

const runtime = await createRuntime({ threads: 1 });

function drawn(task: Task, seed: number) {
  const [steps, width] = task.inputShape;
  const x = new Float32Array(steps * width);
  const y = task.classes ? new Int32Array(task.targetShape[0] ?? 1) : new Float32Array(1);
  task.draw(random(seed), x, y);
  return { rows: Array.from({ length: steps }, (_, t) => [...x.subarray(t * width, (t + 1) * width)]), y };
}

describe("tasks of long-range recurrence", () => {
  it("addition and multiplication mark one number in the first tenth and one before the middle", () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 120 }), fc.nat(), (steps, seed) => {
        for (const combine of [(a: number, b: number) => (a + b) / 2, (a: number, b: number) => a * b]) {
          const { rows, y } = drawn(twoNumbers(steps, combine), seed);
          const marked = rows.flatMap(([, mark], t) => (mark === 1 ? [t] : []));
          expect(rows.every(([u, mark]) => u! >= 0 && u! < 1 && (mark === 0 || mark === 1))).toBe(true);
          expect(marked.length).toBe(2);
          expect(marked[0]!).toBeLessThan(Math.floor(steps / 10));
          expect(marked[1]!).toBeLessThan(Math.floor(steps / 2));
          expect(y[0]).toBeCloseTo(combine(rows[marked[0]!]![0]!, rows[marked[1]!]![0]!), 6);
        }
      }),
    );
  });
  it("temporal order has X or Y once after a tenth and once after the middle", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 120 }), fc.nat(), (steps, seed) => {
        const { rows, y } = drawn(temporalOrder(steps), seed);
        const symbols = rows.map((row) => row.indexOf(1));
        expect(rows.every((row) => row.reduce((a, b) => a + b) === 1)).toBe(true);
        const [first, second, ...more] = symbols.flatMap((symbol, t) => (symbol >= 4 ? [t] : []));
        expect(more).toEqual([]);
        expect(Math.floor((first! * 10) / steps)).toBeLessThanOrEqual(1);
        expect(second!).toBeGreaterThanOrEqual(Math.floor(steps / 2));
        expect(second!).toBeLessThan(Math.floor((6 * steps) / 10));
        const names = ["X", "Y"];
        const order = names[symbols[first!]! - 4]! + names[symbols[second!]! - 4]!;
        expect(["XX", "XY", "YX", "YY"].indexOf(order)).toBe(y[0]);
      }),
    );
  });
  it("copying wants the first symbols after the signal, and blanks before", () => {
    const { rows, y } = drawn(copyMemory(7, 3), 5);
    const symbols = rows.map((row) => row.indexOf(1));
    expect(symbols.length).toBe(13);
    expect(symbols.slice(3, 9)).toEqual([8, 8, 8, 8, 8, 8]);
    expect(symbols[9]).toBe(9);
    expect(symbols.slice(10)).toEqual([8, 8, 8]);
    expect([...y]).toEqual([8, 8, 8, 8, 8, 8, 8, 8, 8, 8, ...symbols.slice(0, 3)]);
  });
  it("their answers without looking back are the stated ones", () => {
    const zeros = (name: string, head: number) => {
      const instance = openProblem({ name, options: { hidden: 2 } }).start(runtime, { seed: 0, batch: 2 });
      const { parameters } = instance.objective;
      parameters.data.fill(0);
      if (head !== 0) parameters.data[parameters.data.length - 1] = head;
      const measured = instance.evaluate();
      instance.release();
      return measured;
    };
    const bias = (name: string) => {
      const { layout, release } = openProblem({ name, options: { hidden: 2 } }).start(runtime, {
        seed: 0,
        batch: 2,
      }).objective;
      const last = layout.entries.at(-1)!;
      release();
      return last;
    };
    for (const name of ["addition", "multiplication"]) expect(bias(name).size).toBe(1);
    expect(zeros("addition", 1 / 2).squaredError).toBeCloseTo(1 / 24, 2);
    expect(zeros("multiplication", 1 / 4).squaredError).toBeCloseTo(7 / 144, 2);
    expect(zeros("temporal-order", 0).loss).toBeCloseTo(Math.log(4), 5);
  });
  it("draw new sequences each step, the same for the same seed, or come back to fixed ones", () => {
    const batches = (examples: number, seed: number) => {
      const instance = openProblem({ name: "addition", options: { hidden: 2, examples } }).start(runtime, {
        seed,
        batch: 4,
      });
      const seen = [0, 1, 0].map((step) => {
        instance.load(step);
        return [...instance.objective.batch[0]!.data];
      });
      instance.release();
      return seen;
    };
    const [first, second, again] = batches(0, 1);
    expect(again).toEqual(first);
    expect(second).not.toEqual(first);
    expect(batches(0, 1)).toEqual([first, second, again]);
    expect(batches(0, 2)[0]).not.toEqual(first);
    // Four sequences, and a batch of four: every step sees them all.
    const fixed = batches(4, 1);
    expect(fixed[1]).toEqual(fixed[0]);
  });
  it("are trained with every cell, by first and by second order", () => {
    const cases = [
      ["addition", { cell: "rnn", length: 20 }, "hessianFree", { structuralDamping: 0.1 }],
      ["multiplication", { cell: "gru", length: 20, initial: "sparse" }, "momentum", {}],
      ["temporal-order", { cell: "lstm", length: 10 }, "hessianFree", { structuralDamping: 0.1 }],
      ["copy-memory", { cell: "rnn", length: 3, symbols: 2 }, "kfac", {}],
    ] as const;
    for (const [name, options, optimizer, settings] of cases) {
      const problem = openProblem({ name, options: { ...options, hidden: 4, precision: "f64" } });
      const instance = problem.start(runtime, { seed: 0, batch: 16 });
      const training = optimizerFor(problem, { name: optimizer, settings }).start(instance.objective);
      const losses = Array.from({ length: 6 }, () => {
        instance.load(0);
        return training.step().loss;
      });
      expect(losses.at(-1)).toBeLessThan(losses[0]!);
      training.release();
      instance.release();
    }
  });
  it("refuse sequences that are too short", () => {
    expect(() => openProblem({ name: "addition", options: { length: 10 } })).toThrow(
      "addition: length is 10; use a whole number of at least 20",
    );
  });
});
