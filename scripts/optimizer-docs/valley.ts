/**
 * The picture of each page: the method on a narrow valley. Linear regression with two weights, whose mean squared error
 * is a quadratic with a Hessian of condition 30; its axes are those of no weight. The weights are one dense layer, so
 * that every method of the catalogue can do what it does, and the batch is all of the data.
 */
import { createObjective, curvatureOf, type Objective } from "../../src/curvature/index.js";
import { affine } from "../../src/nn/dense.js";
import { meanSquared } from "../../src/nn/index.js";
import { layoutOf } from "../../src/nn/parameters.js";
import { random } from "../../src/nn/random.js";
import type { Method } from "../../src/optimizers/index.js";
import type { Runtime } from "../../src/runtime/runtime.js";

const examples = 128;
export const steps = 40;
/** Losses below count as this, and are drawn as it. */
export const leastLoss = 1e-8;
export const minimum = [1, 0.5] as const;
const start = [-1.5, 2.0] as const;
/** Of the Hessian, and the angle of the first eigenvector. */
export const eigenvalues = [1.5, 0.05] as const;
export const angle = 0.6;

export interface Walk {
  readonly settings: Readonly<Record<string, unknown>>;
  /** θ before the first step and after each. */
  readonly path: readonly (readonly [number, number])[];
  readonly losses: readonly number[];
}

/** Inputs whose second moments are the Hessian, to the last digit: half of the examples along each eigenvector. */
function inputs(): number[] {
  const rng = random(1);
  return Array.from({ length: examples }, (_, k) => {
    const [c, s] = k % 2 === 0 ? [Math.cos(angle), Math.sin(angle)] : [-Math.sin(angle), Math.cos(angle)];
    const size = Math.sqrt(2 * eigenvalues[k % 2]!) * (rng.uniform() < 0.5 ? -1 : 1);
    return [c! * size, s! * size];
  }).flat();
}

function valley(runtime: Runtime): Objective {
  const dtype = "f64";
  const layout = layoutOf({ weight: { dtype, shape: [2, 1] } });
  const objective = createObjective(runtime, {
    layout,
    parameters: start,
    batch: [
      { dtype, shape: [examples, 2] },
      { dtype, shape: [examples, 1] },
    ],
    trace(theta, [x, y]) {
      const outputs = affine({ weight: theta.reshape([2, 1]) }, x!, "valley");
      const loss = meanSquared();
      return {
        loss: loss.value(outputs, y!),
        state: undefined,
        outputs,
        outputCurvature: curvatureOf(loss, outputs, y!),
      };
    },
  });
  const x = inputs();
  objective.batch[0]!.set(x);
  objective.batch[1]!.set(
    Array.from({ length: examples }, (_, k) => x[2 * k]! * minimum[0] + x[2 * k + 1]! * minimum[1]),
  );
  return objective;
}

/** The method from the start, with the settings given. */
function walk(runtime: Runtime, method: Method, settings: Readonly<Record<string, unknown>>): Walk {
  const objective = valley(runtime);
  const training = method.create(settings).start(objective);
  const [path, losses]: [[number, number][], number[]] = [[[...start]], [objective.loss()]];
  for (let k = 0; k < steps; k++) {
    const { stop } = training.step();
    path.push([...objective.parameters.data] as [number, number]);
    losses.push(objective.loss());
    if (stop) break;
  }
  training.release();
  objective.release();
  return { settings, path, losses };
}

/** What a picture shows where the defaults hide the method: no decay, no bounds for noise that is not there. */
const pictured: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  adamw: { weightDecay: 0 },
  lion: { weightDecay: 0 },
  lars: { trustCoefficient: 0.1 },
  lamb: { weightDecay: 0 },
  sophia: { weightDecay: 0, gamma: 1, every: 1 },
  soap: { weightDecay: 0 },
  kfac: { klClip: 0, momentum: 0, damping: 0.01, estimator: "exact" },
  ekfac: { klClip: 0, momentum: 0, damping: 0.01, estimator: "exact" },
  switchTo: { at: 15, second: "newton", "first.learningRate": 0.1 },
  periodic: { every: 8, outer: "newton", "inner.learningRate": 0.1 },
  curvatureSchedule: { optimizer: "momentum", "optimizer.learningRate": 0.5 },
  groups: { "chosen.klClip": 0, "chosen.damping": 0.01 },
};

/**
 * The learning rate, of 1, 2 and 5 times powers of ten, with which the logarithm of the loss is lowest on the average;
 * methods whose rate follows no schedule as they are.
 */
export function bestWalk(runtime: Runtime, method: Method): Walk {
  const fixed = pictured[method.name] ?? {};
  if (!("schedule" in method.options)) return walk(runtime, method, fixed);
  const rates = [-3, -2, -1, 0].flatMap((power) => [1, 2, 5].map((m) => Number(`${m}e${power}`)));
  const walks = rates.map((learningRate) => walk(runtime, method, { ...fixed, learningRate }));
  const score = ({ losses }: Walk) => {
    const sum = losses.reduce((all, loss) => all + Math.log(Math.max(loss, leastLoss)), 0);
    return Number.isFinite(sum) ? sum : Number.POSITIVE_INFINITY;
  };
  return walks.reduce((best, each) => (score(each) < score(best) ? each : best));
}
