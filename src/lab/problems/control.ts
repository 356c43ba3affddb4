/** Control: a policy acts in an environment and is to earn as much reward as it can. Targets are what Gym, or its users, call solved. */
import type { Problem, ProblemKind } from "../problem.js";
import { cartpole } from "./reinforcement/cartpole.js";
import type { Environment } from "./reinforcement/environment.js";
import { mountainCar } from "./reinforcement/mountain-car.js";
import { pendulum } from "./reinforcement/pendulum.js";
import { policyOptimization, policyOptions } from "./reinforcement/policy-gradient.js";

interface Control {
  readonly environment: Environment;
  readonly description: string;
  readonly options: Parameters<typeof policyOptions>[0];
  readonly target: number;
  /** η of Adam for one update a rollout, and for many (PPO). */
  readonly adam: { readonly once: number; readonly often: number };
  readonly suggested: Problem["suggested"];
}

/** TRPO's step always goes to the boundary of its trust region. */
const trustRegion = { learningRate: 1e30, damping: 0.01, iterations: 10 };

const control = (given: Control): ProblemKind<ReturnType<typeof policyOptions>> => ({
  name: given.environment.name,
  task: "reinforcement-learning",
  description: given.description,
  options: policyOptions(given.options),
  open: (options) =>
    policyOptimization(given.environment, options, {
      target: given.target,
      rollouts: 500,
      rolloutsBetweenTests: options.epochs === 1 ? 5 : 1,
      suggested: {
        ...given.suggested,
        adam: { learningRate: options.epochs === 1 ? given.adam.once : given.adam.often },
      },
    }),
});

/** Rates and radii are the best of the grids in docs/scenarios.md. */
export const controlProblems = [
  control({
    environment: cartpole,
    description: "balance a pole on a cart by pushing left or right (Gym's CartPole-v1)",
    options: { environments: 8, discount: 0.99, hold: 1, features: 0 },
    target: 475,
    adam: { once: 0.03, often: 0.003 },
    suggested: { sgd: { learningRate: 1 }, naturalGradient: { ...trustRegion, divergence: 0.02 } },
  }),
  control({
    environment: pendulum,
    description: "swing up a pendulum and hold it upright (Gym's Pendulum-v1)",
    options: { environments: 20, discount: 0.98, hold: 1, features: 30 },
    target: -172,
    adam: { once: 0.003, often: 0.001 },
    suggested: { naturalGradient: { ...trustRegion, divergence: 0.02 } },
  }),
  control({
    environment: mountainCar,
    description:
      "drive out of a valley with too weak an engine, actions held for 8 steps (Gym's MountainCar-v0)",
    options: { environments: 20, discount: 0.99, hold: 8, features: 0 },
    target: -110,
    adam: { once: 0.01, often: 0.001 },
    suggested: { naturalGradient: { ...trustRegion, divergence: 0.02 } },
  }),
];
