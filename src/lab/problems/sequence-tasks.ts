/** The tasks of recurrent.ts, which describes them: how a sequence is drawn, and what a network must answer. */
import type { Random } from "../../nn/index.js";
import type { Loss, Metric } from "../../nn/losses/loss.js";
import { meanSquared } from "../../nn/losses/mean-squared.js";
import { softmaxCrossEntropy } from "../../nn/losses/softmax-cross-entropy.js";

/** How sequences of a task are drawn, and what a network must answer. */
export interface Task {
  /** [steps, width] of the inputs. */
  readonly inputShape: readonly [steps: number, width: number];
  /** [1] or [] at the last step, [steps] at each. */
  readonly targetShape: readonly number[];
  /** Numbers that the network gives at the last step, or at each. */
  readonly outputs: number;
  readonly classes: boolean;
  readonly loss: Loss;
  readonly metrics: Readonly<Record<string, Metric>>;
  /** One sequence into x [steps·width], which holds zeros, and y. */
  draw(rng: Random, x: Float32Array, y: Float32Array | Int32Array): void;
}

/** A whole number from `from` to below `to`. */
export const between = (rng: Random, from: number, to: number) => from + rng.integer(to - from);

/** Two marked numbers among T, and what is to be made of them. */
export const twoNumbers = (steps: number, combine: (a: number, b: number) => number): Task => ({
  inputShape: [steps, 2],
  targetShape: [1],
  outputs: 1,
  classes: false,
  loss: meanSquared(),
  metrics: {
    solved: (outputs, targets) => outputs.sub(targets).abs().lt(0.04).cast(outputs.dtype).mean(),
    squaredError: (outputs, targets) => outputs.sub(targets).square().mean(),
  },
  draw(rng, x, y) {
    for (let t = 0; t < steps; t++) x[2 * t] = rng.uniform();
    const first = between(rng, 0, Math.floor(steps / 10));
    const second = between(rng, Math.floor(steps / 10), Math.floor(steps / 2));
    x[2 * first + 1] = 1;
    x[2 * second + 1] = 1;
    y[0] = combine(x[2 * first]!, x[2 * second]!);
  },
});

/** X or Y twice among T symbols: in which order? */
export const temporalOrder = (steps: number): Task => {
  const loss = softmaxCrossEntropy();
  return {
    inputShape: [steps, 6],
    targetShape: [],
    outputs: 4,
    classes: true,
    loss,
    metrics: { accuracy: loss.metrics.accuracy! },
    draw(rng, x, y) {
      const part = (tenths: number) => Math.floor((tenths * steps) / 10);
      const places = [between(rng, part(1), part(2)), between(rng, part(5), part(6))];
      const symbols = places.map(() => rng.integer(2));
      for (let t = 0; t < steps; t++) {
        const k = places.indexOf(t);
        x[6 * t + (k < 0 ? rng.integer(4) : 4 + symbols[k]!)] = 1;
      }
      y[0] = 2 * symbols[0]! + symbols[1]!;
    },
  };
};

const alphabet = 8;

/** S symbols that are to be repeated after T steps. Classes: the symbols, then the blank; one more input: the signal. */
export const copyMemory = (lag: number, symbols: number): Task => {
  const loss = softmaxCrossEntropy();
  const steps = lag + 2 * symbols;
  const last = <T extends { slice(axis: number, start: number, limit: number): T }>(x: T) =>
    x.slice(1, steps - symbols, steps);
  return {
    inputShape: [steps, alphabet + 2],
    targetShape: [steps],
    outputs: alphabet + 1,
    classes: true,
    loss,
    metrics: { accuracy: (outputs, targets) => loss.metrics.accuracy!(last(outputs), last(targets)) },
    draw(rng, x, y) {
      for (let t = 0; t < steps; t++) {
        const symbol =
          t < symbols ? rng.integer(alphabet) : t === symbols + lag - 1 ? alphabet + 1 : alphabet;
        x[(alphabet + 2) * t + symbol] = 1;
        if (t < symbols) y[steps - symbols + t] = symbol;
        if (t < steps - symbols) y[t] = alphabet;
      }
    },
  };
};
