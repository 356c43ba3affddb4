/** Markov decision processes with episodes of bounded length: what a policy acts in. Each has Gym's dynamics, in f64. */
import type { Random } from "../../../nn/random.js";

export interface Environment {
  readonly name: string;
  /** Numbers in a state s. */
  readonly stateSize: number;
  /** Numbers that a policy sees of it. */
  readonly observationSize: number;
  readonly actions: Actions;
  /** Steps after which an episode ends at the latest. */
  readonly limit: number;
  /** s ← where an episode begins. */
  reset(s: Float64Array, rng: Random): void;
  /** s ← what follows on an action: the number of a discrete one, or the value. Returns the reward. */
  step(s: Float64Array, action: number): number;
  /** Whether the episode ends in s. */
  terminal(s: Float64Array): boolean;
  /** Writes what a policy sees of s, numbers of about unit size, from `at` on. */
  observe(s: Float64Array, observation: { [index: number]: number }, at: number): void;
}

export type Actions =
  | { readonly kind: "discrete"; readonly count: number }
  /** A policy's action 1 is the value `scale`. */
  | { readonly kind: "continuous"; readonly scale: number };

export const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x));

/**
 * The same where an action is held for k steps, or to the end of the episode: a random policy then goes somewhere, where
 * one that changes its mind at every step stays about where it was. k divides the limit.
 */
export const holding = (environment: Environment, k: number): Environment => ({
  ...environment,
  limit: environment.limit / k,
  step(s, action) {
    let reward = environment.step(s, action);
    for (let i = 1; i < k && !environment.terminal(s); i++) reward += environment.step(s, action);
    return reward;
  },
});
