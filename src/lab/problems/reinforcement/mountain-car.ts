/**
 * A car in a valley whose engine is too weak for the slope: it must swing back and forth to get out. Moore 1990,
 * "Efficient memory-based learning for robot control"; equations and constants of Gym's MountainCar-v0. At place x the
 * height is sin 3x; the engine a is −1, 0 or 1:
 *
 *     v ← v + 0.001 a − 0.0025 cos 3x within ±0.07,   x ← x + v within [−1.2, 0.6], where v becomes 0 at the left end
 *
 * A reward of −1 a step until x ≥ 0.5 with v ≥ 0, 200 steps at most: all episodes that do not arrive are alike.
 */
import { clamp, type Environment } from "./environment.js";

const [left, right, goal, fastest] = [-1.2, 0.6, 0.5, 0.07];
const [engine, gravity] = [0.001, 0.0025];

/** s = (x, v). */
export const mountainCar: Environment = {
  name: "mountain-car",
  stateSize: 2,
  observationSize: 2,
  actions: { kind: "discrete", count: 3 },
  limit: 200,
  reset(s, rng) {
    s[0] = rng.uniform(-0.6, -0.4);
    s[1] = 0;
  },
  step(s, action) {
    const v = clamp(s[1]! + (action - 1) * engine - gravity * Math.cos(3 * s[0]!), -fastest, fastest);
    const x = clamp(s[0]! + v, left, right);
    s[0] = x;
    s[1] = x === left && v < 0 ? 0 : v;
    return -1;
  },
  terminal: (s) => s[0]! >= goal && s[1]! >= 0,
  observe(s, observation, at) {
    observation[at] = (s[0]! + 0.5) / 0.5;
    observation[at + 1] = s[1]! / fastest;
  },
};
