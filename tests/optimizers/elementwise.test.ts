/** Adagrad, RMSProp, Lion and Adafactor against plain loops. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createOptimizer, type OptimizerName } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { smallObjective, trajectory } from "./small.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const zeros = () => new Array<number>(24).fill(0);
/** W [3, 4], b [4], V [4, 2], one after the other. */
const isBias = (k: number) => k >= 12 && k < 16;

function compare(
  name: OptimizerName,
  settings: Readonly<Record<string, unknown>>,
  update: (theta: number[], g: number[], t: number) => number[],
): void {
  const objective = smallObjective(runtime);
  let theta = [...objective.parameters.data];
  const ours = trajectory(runtime, createOptimizer(name, settings), 8).parameters;
  for (let t = 1; t <= 8; t++) {
    objective.parameters.set(theta);
    theta = update(theta, [...objective.gradient().gradient.data], t);
    theta.forEach((value, k) => {
      expect(ours[t - 1]![k]).toBeCloseTo(value, 12);
    });
  }
  objective.release();
}

test("adagrad", () => {
  const s = zeros().map(() => 0.1);
  compare("adagrad", { learningRate: 0.1, initialSum: 0.1, epsilon: 1e-3, l2: 0.2 }, (theta, raw) =>
    theta.map((value, k) => {
      const g = raw[k]! + 0.2 * value;
      s[k]! += g ** 2;
      return value - (0.1 * g) / (Math.sqrt(s[k]!) + 1e-3);
    }),
  );
});

test.each([
  [0, false],
  [0.6, false],
  [0.6, true],
])("rmsprop with momentum %d, centered: %s", (momentum, centered) => {
  const [v, m, b] = [zeros(), zeros(), zeros()];
  const settings = { learningRate: 0.02, alpha: 0.8, epsilon: 1e-3, momentum, centered };
  compare("rmsprop", settings, (theta, g) =>
    theta.map((value, k) => {
      v[k] = 0.8 * v[k]! + 0.2 * g[k]! ** 2;
      m[k] = 0.8 * m[k]! + 0.2 * g[k]!;
      const variance = v[k]! - (centered ? m[k]! ** 2 : 0);
      b[k] = momentum * b[k]! + g[k]! / (Math.sqrt(variance) + 1e-3);
      return value - 0.02 * b[k]!;
    }),
  );
});

test("lion", () => {
  const m = zeros();
  compare("lion", { learningRate: 0.02, beta1: 0.8, beta2: 0.95, weightDecay: 0.5 }, (theta, g) =>
    theta.map((value, k) => {
      const d = Math.sign(0.8 * m[k]! + 0.2 * g[k]!);
      m[k] = 0.95 * m[k]! + 0.05 * g[k]!;
      return value - 0.02 * (d + (isBias(k) ? 0 : 0.5 * value));
    }),
  );
});

test.each([true, false])("adafactor, relative: %s", (relative) => {
  const mean = (x: readonly number[]) => x.reduce((sum, value) => sum + value, 0) / x.length;
  const rms = (x: readonly number[]) => Math.sqrt(mean(x.map((value) => value ** 2)));
  const kept = new Map<string, number[]>();
  const average = (key: string, beta: number, now: number[]) => {
    const before = kept.get(key) ?? now.map(() => 0);
    const after = now.map((value, k) => beta * before[k]! + (1 - beta) * value);
    kept.set(key, after);
    return after;
  };
  const arrays = [
    { at: 0, rows: 3, columns: 4 },
    { at: 12, rows: 1, columns: 4 },
    { at: 16, rows: 4, columns: 2 },
  ];
  const settings = { learningRate: 0.05, relative, clipRms: 0.9, weightDecay: 0.1, epsilon: 1e-6 };
  compare("adafactor", settings, (theta, g, t) => {
    const beta = 1 - t ** -0.8;
    return arrays.flatMap(({ at, rows, columns }) => {
      const p = theta.slice(at, at + rows * columns);
      const own = g.slice(at, at + rows * columns);
      const squares = own.map((value) => value ** 2 + 1e-6);
      let V: number[];
      if (at === 12) V = average("V", beta, squares);
      else {
        const row = Array.from({ length: rows }, (_, i) =>
          mean(squares.slice(i * columns, (i + 1) * columns)),
        );
        const column = Array.from({ length: columns }, (_, j) =>
          mean(squares.filter((_value, k) => k % columns === j)),
        );
        const [R, C] = [average(`R${at}`, beta, row), average(`C${at}`, beta, column)];
        V = own.map((_, k) => (R[Math.floor(k / columns)]! * C[k % columns]!) / mean(R));
      }
      const u = own.map((value, k) => value / Math.sqrt(V[k]!));
      const bound = Math.max(1, rms(u) / 0.9);
      const size = relative ? Math.max(1e-3, rms(p)) : 1;
      return p.map((value, k) => value - 0.05 * ((size * u[k]!) / bound + (at === 12 ? 0 : 0.1 * value)));
    });
  });
});
