/**
 * Adafactor: mean squares of matrices kept as means of their rows and columns. Shazeer & Stern 2018, "Adafactor: adaptive
 * learning rates with sublinear memory cost". For each array p of θ with gradient g, matrices along the last two axes:
 *
 *     β = 1 − t^−c
 *     R ← β R + (1 − β) mean of (g² + ε₁) along rows,   C likewise along columns,   V = R Cᵀ / mean R
 *     (fewer than two axes: V ← β V + (1 − β)(g² + ε₁))
 *     u = g/√V,   u ← u / max(1, rms(u)/d)
 *     θ ← (1 − ηλ·mask) θ − η max(ε₂, rms(p)) u
 *
 * η is relative to the parameters' size. The paper's η is min(0.01, 1/√t); here it follows the schedule that is set.
 */
import { parameterCount } from "../curvature/model-shape.js";
import type { Entry } from "../nn/parameters.js";
import { concat, type Tensor } from "../tensor/tensor.js";
import { gradients } from "./catalogue.js";
import { arraysOf, decayMask, matrixElements, scalars, sharedFlops } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { firstOrderMethod, rateOptions } from "./method.js";
import { flag, notNegative, positive } from "./settings.js";
import type { StateSpec, Transform } from "./transform.js";

interface AdafactorOptions {
  readonly decayExponent: number;
  readonly epsilon: number;
  readonly leastSize: number;
  readonly clipRms: number;
  readonly relative: boolean;
}

const rms = (x: Tensor): Tensor => x.square().mean().sqrt();

/** 1/√V of one array, in its shape, and its state afterwards. */
function inverseRoot(
  { name, shape }: Entry,
  squares: Tensor,
  beta: Tensor,
  state: Readonly<Record<string, Tensor>>,
): { readonly scale: Tensor; readonly state: Readonly<Record<string, Tensor>> } {
  const averaged = (before: Tensor, now: Tensor) => before.mul(beta).add(now.mul(beta.neg().add(1)));
  if (shape.length < 2) {
    const square = averaged(state[`square.${name}`]!, squares);
    return { scale: square.sqrt().reciprocal(), state: { [`square.${name}`]: square } };
  }
  const row = averaged(state[`row.${name}`]!, squares.mean(-1));
  const column = averaged(state[`column.${name}`]!, squares.mean(-2));
  const rows = row.div(row.mean(-1, true)).sqrt().reciprocal();
  const columns = column.sqrt().reciprocal();
  return {
    scale: rows.reshape([...rows.shape, 1]).mul(columns.reshape([...shape.slice(0, -2), 1, shape.at(-1)!])),
    state: { [`row.${name}`]: row, [`column.${name}`]: column },
  };
}

/** State: `row.name` and `column.name` of each matrix, `square.name` of each other array. */
const scaleByFactors = (s: AdafactorOptions): Transform => ({
  name: "adafactor",
  init: ({ layout }) =>
    Object.fromEntries(
      layout.entries.flatMap(({ name, shape }): [string, StateSpec][] =>
        shape.length < 2
          ? [[`square.${name}`, { shape, initial: 0 }]]
          : [
              [`row.${name}`, { shape: shape.slice(0, -1), initial: 0 }],
              [`column.${name}`, { shape: [...shape.slice(0, -2), shape.at(-1)!], initial: 0 }],
            ],
      ),
    ),
  update(direction, state, { layout, parameters, step }) {
    if (layout.size === 0) return { direction, state };
    const beta = step.pow(-s.decayExponent).neg().add(1);
    const next: Record<string, Tensor> = {};
    const parts = layout.entries.map((entry) => {
      const own = (x: Tensor) => x.slice(0, entry.offset, entry.offset + entry.size);
      const g = own(direction).reshape(entry.shape);
      const { scale, state: after } = inverseRoot(entry, g.square().add(s.epsilon), beta, state);
      Object.assign(next, after);
      const u = g.mul(scale);
      const bounded = u.div(
        rms(u)
          .mul(1 / s.clipRms)
          .max(1),
      );
      const size = rms(own(parameters)).max(s.leastSize);
      return (s.relative ? bounded.mul(size) : bounded).reshape([entry.size]);
    });
    return { direction: concat(parts), state: next };
  },
});

/**
 *     adafactor.create({ learningRate: 0.01, schedule: "linear", decaySteps: 10_000, warmupSteps: 1000 })
 */
export const adafactor = firstOrderMethod(
  {
    name: "adafactor",
    family: "first order",
    description: "Adam's scaling with hardly any memory: for models whose moments would not fit.",
    reference: "Shazeer & Stern 2018, Adafactor: adaptive learning rates with sublinear memory cost",
    asks: gradients,
    treats: [
      { arrays: "two or more axes", how: "mean squares as a row and a column of the last two axes" },
      { arrays: "vectors and scalars", how: "as Adam, each element with its own mean square" },
    ],
    costs(shape, settings) {
      const n = parameterCount(shape);
      const lines = arraysOf(shape).reduce((sum, { shape: axes }) => {
        if (axes.length < 2) return sum;
        const outer = axes.slice(0, -2).reduce((product, size) => product * size, 1);
        return sum + outer * (axes.at(-2)! + axes.at(-1)!);
      }, 0);
      const each = 18 + sharedFlops(settings);
      return {
        state: [
          {
            part: "moments",
            formula: "Σ rows + columns, vectors",
            elements: lines + n - matrixElements(shape),
          },
          scalars(),
        ],
        workspace: decayMask(settings, shape),
        work: [{ part: "update", formula: `${each}n + 8 Σ rows + columns`, flops: each * n + 8 * lines }],
        evaluations: { gradients: 1 },
      };
    },
    options: {
      ...rateOptions(0.01, [0.001, 0.1]),
      decayExponent: positive(0.8, "c: averages keep 1 − t^−c", { typical: [0.5, 0.9], sensitivity: "low" }),
      epsilon: positive(1e-30, "ε₁: added to the squares"),
      leastSize: positive(1e-3, "ε₂: smallest size of an array by which η is multiplied"),
      clipRms: positive(1, "d: bound on the root mean square of an array's step before η"),
      relative: flag(true, "multiply η by the array's root mean square"),
      weightDecay: notNegative(0, "λ: every update shrinks the parameters by ηλ", {
        typical: [0.001, 0.1],
        sensitivity: "low",
      }),
      decay: decayOption,
    },
  },
  (s) => [scaleByFactors(s), decoupledDecay(s.weightDecay, masks[s.decay])],
);
