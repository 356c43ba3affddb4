/** What is measured of a workload, by name. */
import { readNamed } from "../src/cli/options.js";
import type { Objective } from "../src/curvature/objective.js";
import { curvatureOperator } from "../src/curvature/operator.js";
import { createOptimizer } from "../src/optimizers/index.js";

export interface Operation {
  /** Forward pass, gradient, curvature and update, whichever the operation has. Returns a number that it computed. */
  step(): number;
  /** Steps after which periodic work recurs: what is timed together. */
  readonly period: number;
  release(): void;
}

function product(objective: Objective, kind: "hessian" | "gaussNewton", linearized: boolean): Operation {
  const operator = curvatureOperator(objective, kind);
  operator.tangent.set(
    Float32Array.from({ length: operator.size }, (_, k) => ((k * 7919) % 1000) / 1000 - 0.5),
  );
  operator.linearize();
  return {
    period: 1,
    step() {
      if (!linearized) operator.linearize();
      operator.run();
      return operator.product.data[0]!;
    },
    release: operator.release,
  };
}

/** Settings that are numbers of updates between two refreshes. */
const intervals = ["interval", "every", "factorInterval", "inverseInterval"];

/**
 *     gradient                         loss and gradient
 *     hessian-vector, gauss-newton     a product from scratch, with its forward pass
 *     …-linearized                     a further one at the same θ and batch, as in conjugate gradients
 *     kfac, soap:interval=10, …        a whole step of the optimizer with these settings
 */
export function operation(name: string, objective: Objective): Operation {
  switch (name) {
    case "gradient":
      return { period: 1, step: () => objective.gradient().loss, release() {} };
    case "hessian-vector":
    case "hessian-vector-linearized":
      return product(objective, "hessian", name.endsWith("linearized"));
    case "gauss-newton":
    case "gauss-newton-linearized":
      return product(objective, "gaussNewton", name.endsWith("linearized"));
    default: {
      const { name: method, settings } = readNamed(name);
      const optimizer = createOptimizer(method, settings);
      const training = optimizer.start(objective);
      const periods = intervals.map((key) => Number(optimizer.settings[key] ?? 1));
      return { period: Math.max(...periods), step: () => training.step().loss, release: training.release };
    }
  }
}

/** Milliseconds of the processor's time so far. */
export function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds a step: the mean over one period. */
export function timePeriod({ step, period }: Operation, clock = () => performance.now()): number {
  const start = clock();
  for (let k = 0; k < period; k++) step();
  return (clock() - start) / period;
}

export const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;
