/**
 * Policy optimization. Of actions a that a policy with parameters θ₀ took in states s, with advantages A:
 *
 *     r = π_θ(a|s)/π_θ₀(a|s),   L(θ) = −mean min(r A, clip(r, 1 − ε, 1 + ε) A) − β mean entropy(π_θ(·|s))
 *
 * (Schulman, Wolski, Dhariwal, Radford, Klimov 2017, "Proximal policy optimization algorithms", equation 7.) At θ₀ its
 * gradient is the policy gradient, clipped or not. So one objective serves three methods:
 *
 *     one update a rollout, sgd or adam           the policy gradient with advantages (Williams 1992; Sutton et al. 2000)
 *     one update a rollout, naturalGradient       the natural policy gradient (Kakade 2001), with its trust region TRPO
 *     epochs > 1 in smaller batches, adam         PPO
 *
 * The curvature of the outputs is the Fisher information of the policy, also where Gauss–Newton is asked for, and the
 * examples' losses behind it are −log π(a|s): without A, which is no part of a distribution.
 *
 * Rollouts are a function of the seed, their number, and θ₀; θ₀ is kept until the next one, so that a run resumed
 * between two updates plays the same episodes again.
 */
import { createObjective, type TraceLoss } from "../../../curvature/objective.js";
import { curvatureOf } from "../../../curvature/output-curvature.js";
import { DataError } from "../../../data/error.js";
import { shuffle } from "../../../data/shuffle.js";
import {
  count,
  fraction,
  notNegative,
  type Options,
  positiveCount,
  SettingsError,
  type SettingsOf,
} from "../../../optimizers/settings.js";
import { formatCount } from "../../format.js";
import type { Problem } from "../../problem.js";
import { activationOption, hiddenOption } from "../networks.js";
import { createAdvantages } from "./advantages.js";
import { type Environment, holding } from "./environment.js";
import { compileActor, createPolicy, type Policy } from "./policy.js";
import { createStage, createTrial, type Rollout } from "./rollout.js";

export const policyOptions = (fallback: {
  readonly environments: number;
  readonly discount: number;
  readonly hold: number;
  readonly features: number;
}) =>
  ({
    hidden: hiddenOption("64-64"),
    activation: activationOption("tanh"),
    environments: positiveCount(
      fallback.environments,
      "environments side by side; a rollout is an episode's limit of steps in each",
    ),
    hold: positiveCount(fallback.hold, "steps that an action is held"),
    epochs: positiveCount(1, "how often the steps of a rollout are gone through, in batches"),
    clip: notNegative(0.2, "ε: ratios beyond 1 ± ε gain nothing; 0 does not clip"),
    entropy: notNegative(0, "β: what the entropy of the policy counts"),
    discount: fraction(fallback.discount, "γ: what a reward counts a step later"),
    lambda: fraction(0.95, "λ of the generalized advantage estimation"),
    features: count(fallback.features, "random features of the baseline beside quadratic ones"),
  }) as const satisfies Options;
export type PolicyOptions = SettingsOf<ReturnType<typeof policyOptions>>;

/** Episodes that a policy is measured on, the same for all runs. */
const episodes = 100;

/** Batches that a rollout is cut into where it is gone through several times. */
const cuts = 20;

/**
 * The problem of a policy for an environment of Gym's, measured by the mean return of 100 episodes: of sampled actions,
 * as in training, which is what L(θ) is about (`averageReturn`, and Gym's "solved"), and of the most probable ones
 * (`greedyReturn`).
 *
 * @throws SettingsError when actions are held for a number of steps that does not divide an episode.
 */
export function policyOptimization(
  gym: Environment,
  options: PolicyOptions,
  given: Pick<Problem, "suggested"> & {
    /** The averageReturn that counts as solved. */
    readonly target: number;
    readonly rollouts: number;
    readonly rolloutsBetweenTests: number;
  },
): Omit<Problem, "settings"> {
  const { name } = gym;
  if (gym.limit % options.hold !== 0)
    throw new SettingsError(
      `${name}: hold is ${options.hold}; use a divisor of ${gym.limit}, the steps of an episode`,
    );
  const environment = holding(gym, options.hold);
  const { limit } = environment;
  const policy = createPolicy(environment, options);
  const { layout } = policy.network;
  const size = options.environments * limit;
  const usual = options.epochs === 1 ? size : Math.ceil(size / cuts);
  const updatesWith = (batch: number) => options.epochs * Math.floor(size / batch);
  const again = options.epochs === 1 ? "" : `, gone through ${options.epochs} times`;
  return {
    summary:
      `a policy ${[environment.observationSize, ...(options.hidden === "none" ? [] : [options.hidden]), policy.network.outputShape[0]].join("-")} ${options.activation}, ` +
      `${formatCount(layout.size)} parameters; rollouts of ${formatCount(size)} steps in ${formatCount(options.environments)} environments${again}; ` +
      `${episodes} episodes to test`,
    suggested: given.suggested,
    defaults: {
      batch: usual,
      steps: given.rollouts * updatesWith(usual),
      evaluateEvery: given.rolloutsBetweenTests * updatesWith(usual),
      target: { metric: "averageReturn", value: given.target, goal: "max" },
    },
    metrics: { averageReturn: "max", greedyReturn: "max" },
    start(runtime, { seed, batch }) {
      if (batch > size)
        throw new DataError(
          `${name}: a batch of ${formatCount(batch)} from rollouts of ${formatCount(size)} steps; ` +
            `use at most as many, or environments=${Math.ceil(batch / limit)}`,
        );
      const objective = createObjective(runtime, {
        layout,
        parameters: layout.flatten(policy.network.init(seed).parameters).data,
        batch: [
          { dtype: "f32", shape: [batch, environment.observationSize] },
          policy.actions(batch),
          { dtype: "f32", shape: [batch] },
          { dtype: "f32", shape: [batch] },
        ],
        trace: surrogate(policy, options),
      });
      objective.key.data[0] = seed;
      const behaviour = runtime.buffer(layout.dtype as "f32", [layout.size]);
      behaviour.set(objective.parameters.data);
      const played = runtime.buffer("i32", []);
      const actor = compileActor(runtime, policy, behaviour, options.environments, "sample");
      const stage = createStage(environment, actor, { ...options, steps: limit, seed });
      const advantages = createAdvantages(runtime, stage.rollout, { ...options, limit });
      const tested = (["sample", "mode"] as const).map((choice) =>
        compileActor(runtime, policy, objective.parameters, episodes, choice),
      );
      const [sampled, greedy] = tested.map((one) => createTrial(environment, one, episodes));

      const batchesOfEpoch = Math.floor(size / batch);
      const updates = updatesWith(batch);
      const order = new Int32Array(size);
      let [held, arranged] = [-1, -1];
      /** Rollout `number`, unless it is there already; it begins with the θ of its first update. */
      const play = (number: number, first: boolean) => {
        const moved = first && !equal(behaviour.data, objective.parameters.data);
        if (held === number && !moved) return;
        if (moved) behaviour.data.set(objective.parameters.data);
        stage.play(number);
        advantages.compute();
        played.data[0] = number + 1;
        held = number;
      };
      const arrange = (epoch: number) => {
        if (arranged === epoch) return;
        for (let k = 0; k < size; k++) order[k] = k;
        shuffle(order, (Math.imul(seed, 0x9e3779b1) ^ epoch) | 0);
        arranged = epoch;
      };
      return {
        objective,
        state: { behaviour, played },
        sameBatch: false,
        load(step) {
          play(Math.floor(step / updates), step % updates === 0);
          arrange(Math.floor(step / batchesOfEpoch));
          take(objective.batch, stage.rollout, advantages.values, order, (step % batchesOfEpoch) * batch);
          objective.key.data[1] = step;
        },
        evaluate: () => ({
          averageReturn: sampled!.run(),
          greedyReturn: greedy!.run(),
          environmentSteps: played.data[0]! * size * options.hold,
        }),
        release() {
          for (const part of [actor, ...tested, advantages, behaviour, played, objective]) part.release();
        },
      };
    },
  };
}

const equal = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => {
  for (let k = 0; k < a.length; k++) if (a[k] !== b[k]) return false;
  return true;
};

/** L(θ) of observations, actions, advantages and log π_θ₀. */
const surrogate =
  ({ network, negativeLogLikelihood, entropy }: Policy, { clip, entropy: beta }: PolicyOptions): TraceLoss =>
  (theta, [observations, actions, advantages, before]) => {
    const outputs = network.apply(network.layout.views(theta), observations!);
    const ratio = negativeLogLikelihood.perExample(outputs, actions!).add(before!).neg().exp();
    const gain = ratio.mul(advantages!);
    const clipped =
      clip > 0
        ? gain.min(
            ratio
              .max(1 - clip)
              .min(1 + clip)
              .mul(advantages!),
          )
        : gain;
    const loss = clipped.mean().neg();
    return {
      loss: beta > 0 ? loss.sub(entropy(outputs).mean().mul(beta)) : loss,
      state: undefined,
      outputCurvature: curvatureOf(negativeLogLikelihood, outputs, actions!),
    };
  };

/** Writes rows of a rollout, in the order from `start` on, into a batch. */
function take(
  [observations, actions, advantages, before]: readonly {
    readonly data: { [index: number]: number };
    readonly size: number;
  }[],
  rollout: Rollout,
  values: Float64Array,
  order: Int32Array,
  start: number,
): void {
  const count = advantages!.size;
  const d = observations!.size / count;
  const [o, a, A, l] = [observations!.data, actions!.data, advantages!.data, before!.data];
  for (let k = 0; k < count; k++) {
    const row = order[start + k]!;
    for (let i = 0; i < d; i++) o[k * d + i] = rollout.observations[row * d + i]!;
    a[k] = rollout.actions[row]!;
    A[k] = values[row]!;
    l[k] = rollout.logLikelihoods[row]!;
  }
}
