/** The move of θ by the roots as they are: mean, preconditioning with the grafted norms, decay, momentum. */
import { compile } from "../../compiler/compile.js";
import type { Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { concat, input, type Tensor } from "../../tensor/tensor.js";
import { biasCorrection } from "../adam.js";
import { multiplyAlong } from "../axis-products.js";
import { cut, join } from "../blocking.js";
import { decoupledDecay, masks } from "../decay.js";
import { graftedStep, withNormsOf } from "../grafting.js";
import { scheduleOf } from "../method.js";
import { traceMomentum } from "../momentum.js";
import { chain, type Transform, zeroVector } from "../transform.js";
import { arrayOf, type Factors } from "./factors.js";
import type { ShampooSettings } from "./settings.js";

export interface Update {
  /** What is kept from update to update, by name. */
  readonly state: Readonly<Record<string, Buffer>>;
  /** θ and the counter move. The result is the learning rate. */
  run(): number;
  release(): void;
}

export function compileUpdate(
  objective: Objective,
  gradientBuffer: Buffer,
  factors: Factors,
  counter: Buffer,
  settings: ShampooSettings,
): Update {
  const { runtime, dtype, layout } = objective;
  const theta = input("parameters", objective.parameters);
  const gradient = input("gradient", gradientBuffer);
  const done = input("step", counter);
  const roots = factors.axes.map(({ root }) => input("root", root));
  const transform = chain(
    correctedMean(settings.beta1),
    preconditioning(objective, factors, roots, done, settings),
    settings.weightDecay > 0 ? decoupledDecay(settings.weightDecay, masks[settings.decay]) : undefined,
    settings.momentum > 0 ? traceMomentum({ decay: settings.momentum }) : undefined,
  );
  const specs = Object.entries(transform.init({ dtype, layout }));
  const before = Object.fromEntries(specs.map(([name, { shape }]) => [name, input(name, { dtype, shape })]));
  const vectors = specs.map(([, { shape }]) => runtime.buffer(dtype, shape));
  const step = done.add(1);
  const context = { dtype, layout, parameters: theta, gradient, step: step.cast(dtype) };
  const result = transform.update(gradient, before, context);
  const rate = scheduleOf("shampoo", settings)(done.cast(dtype));
  const own = [objective.parameters, counter, ...vectors];
  const executable = compile(
    runtime,
    {
      inputs: [theta, done, ...Object.values(before), gradient, ...roots],
      outputs: [
        theta.sub(result.direction.mul(rate)),
        step,
        ...specs.map(([name]) => result.state[name]!),
        rate,
      ],
    },
    { inputs: [...own, gradientBuffer, ...factors.axes.map(({ root }) => root)], outputs: own },
  );
  const learningRate = executable.outputs[own.length]!;
  return {
    state: Object.fromEntries(specs.map(([name], k) => [name, vectors[k]!])),
    run() {
      executable.run();
      return learningRate.data[0]!;
    },
    release() {
      for (const part of [executable, ...vectors]) part.release();
    },
  };
}

/** d ← the bias-corrected average of d. State: `mean` [n]. */
const correctedMean = (beta: number): Transform => ({
  name: "mean",
  init: (spec) => (beta > 0 ? { mean: zeroVector(spec) } : {}),
  update(direction, state, { step }) {
    if (beta === 0) return { direction, state: {} };
    const mean = state.mean!.mul(beta).add(direction.mul(1 - beta));
    return { direction: mean.mul(biasCorrection(beta, step).reciprocal()), state: { mean } };
  },
});

/** d ← d ×₁ P₁ … ×ₖ Pₖ with the norms of the grafted step, which alone it is before `start` and where there are no roots. */
function preconditioning(
  { layout }: Objective,
  { blocks }: Factors,
  roots: readonly Tensor[],
  done: Tensor,
  { graft, graftBeta2, graftEpsilon, blockSize, start }: ShampooSettings,
): Transform {
  const grafting = graftedStep(graft, graftBeta2, graftEpsilon);
  const preconditioned = (vector: Tensor, grafted: Tensor): Tensor => {
    let next = 0;
    return concat(
      layout.entries.map((entry) => {
        const own = blocks.filter((block) => block.entry === entry);
        if (own.length === 0) return arrayOf(grafted, entry).reshape([entry.size]);
        const array = arrayOf(vector, entry);
        const parts = own.map(({ block }) =>
          block.reduce((part, _, axis) => multiplyAlong(part, axis, roots[next++]!), cut(array, block)),
        );
        return join(parts, entry.shape, blockSize).reshape([entry.size]);
      }),
    );
  };
  return {
    ...grafting,
    update(direction, state, context) {
      const grafted = grafting.update(direction, state, context);
      const turned = preconditioned(direction, grafted.direction);
      const scaled = graft === "none" ? turned : withNormsOf(turned, grafted.direction, layout);
      return { ...grafted, direction: done.ge(start).select(scaled, grafted.direction) };
    },
  };
}
