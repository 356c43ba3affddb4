/**
 * What a policy experiences: E environments side by side, each for T steps. An environment begins anew whenever its
 * episode ends; what the last episode has not finished by step T is cut.
 */
import { type Random, random } from "../../../nn/random.js";
import type { Environment } from "./environment.js";
import type { Actor } from "./policy.js";

/** Rows are steps, E·T of them, environment by environment. */
export interface Rollout {
  readonly environments: number;
  readonly steps: number;
  /** [E·T, d] */
  readonly observations: Float32Array;
  readonly actions: Int32Array | Float32Array;
  readonly logLikelihoods: Float32Array;
  readonly rewards: Float64Array;
  /** The step's number within its episode, from 0. */
  readonly times: Int32Array;
  /** 1 where the episode ended with the step. */
  readonly ends: Uint8Array;
  /** [E, d] and [E]: what the policy would have seen next, and the number of that step. */
  readonly next: { readonly observations: Float32Array; readonly times: Int32Array };
}

export interface Stage {
  /** Overwritten by the next `play`. */
  readonly rollout: Rollout;
  /**
   * Plays T steps in each environment from new episodes on; `number` and the seed decide where they begin and what is
   * drawn.
   */
  play(number: number): void;
}

/** @example const stage = createStage(cartpole, actor, { environments: 8, steps: 500, seed: 0 }); stage.play(0); */
export function createStage(
  environment: Environment,
  actor: Actor,
  options: { readonly environments: number; readonly steps: number; readonly seed: number },
): Stage {
  const { environments, steps, seed } = options;
  const { observationSize: d, limit } = environment;
  const discrete = environment.actions.kind === "discrete";
  const scale = environment.actions.kind === "discrete" ? 1 : environment.actions.scale;
  const size = environments * steps;
  const states = Array.from({ length: environments }, () => new Float64Array(environment.stateSize));
  const times = new Int32Array(environments);
  const rollout: Rollout = {
    environments,
    steps,
    observations: new Float32Array(size * d),
    actions: discrete ? new Int32Array(size) : new Float32Array(size),
    logLikelihoods: new Float32Array(size),
    rewards: new Float64Array(size),
    times: new Int32Array(size),
    ends: new Uint8Array(size),
    next: { observations: new Float32Array(environments * d), times },
  };
  const drawn = random(seed).stream("actions").key().data[0]!;

  const begin = (e: number, rng: Random) => {
    environment.reset(states[e]!, rng);
    times[e] = 0;
  };
  /** Step t of environment e, whose action is chosen. */
  const advance = (e: number, t: number, action: number, rng: Random) => {
    const row = e * steps + t;
    const state = states[e]!;
    environment.observe(state, rollout.observations, row * d);
    rollout.times[row] = times[e]!;
    rollout.rewards[row] = environment.step(state, action * scale);
    times[e]!++;
    const ended = environment.terminal(state) || times[e]! >= limit;
    rollout.ends[row] = ended ? 1 : 0;
    if (ended) begin(e, rng);
  };

  return {
    rollout,
    play(number) {
      const rng = random(seed).stream(`episodes ${number}`);
      for (let e = 0; e < environments; e++) begin(e, rng);
      for (let t = 0; t < steps; t++) {
        const observations = actor.observations.data;
        for (let e = 0; e < environments; e++) environment.observe(states[e]!, observations, e * d);
        actor.key.data[0] = drawn;
        actor.key.data[1] = number * steps + t;
        actor.act();
        const [actions, logLikelihoods] = [actor.actions.data, actor.logLikelihoods.data];
        for (let e = 0; e < environments; e++) {
          const row = e * steps + t;
          rollout.actions[row] = actions[e]!;
          rollout.logLikelihoods[row] = logLikelihoods[e]!;
          advance(e, t, actions[e]!, rng);
        }
      }
      for (let e = 0; e < environments; e++)
        environment.observe(states[e]!, rollout.next.observations, e * d);
    },
  };
}

/** Runs one episode in each environment and returns the mean sum of rewards: what is measured of a policy. */
export function createTrial(environment: Environment, actor: Actor, episodes: number): { run(): number } {
  const { observationSize: d, limit } = environment;
  const scale = environment.actions.kind === "discrete" ? 1 : environment.actions.scale;
  const states = Array.from({ length: episodes }, () => new Float64Array(environment.stateSize));
  const going = new Uint8Array(episodes);
  return {
    run() {
      const rng = random(0).stream("episodes of the test");
      for (const state of states) environment.reset(state, rng);
      going.fill(1);
      let [sum, left] = [0, episodes];
      for (let t = 0; t < limit && left > 0; t++) {
        const observations = actor.observations.data;
        for (let e = 0; e < episodes; e++) environment.observe(states[e]!, observations, e * d);
        actor.key.data[0] = 0;
        actor.key.data[1] = t;
        actor.act();
        const actions = actor.actions.data;
        for (let e = 0; e < episodes; e++) {
          if (going[e] === 0) continue;
          sum += environment.step(states[e]!, actions[e]! * scale);
          if (!environment.terminal(states[e]!)) continue;
          going[e] = 0;
          left--;
        }
      }
      return sum / episodes;
    },
  };
}
