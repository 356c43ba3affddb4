/**
 * A pendulum that is to be swung up and held upright by a torque u too weak to lift it. Equations and constants of
 * Gym's Pendulum-v1; φ = 0 is upright, m = l = 1, g = 10:
 *
 *     φ̇ ← φ̇ + (3g/2l · sin φ + 3/(ml²) · u)·0.05 within ±8,   φ ← φ + φ̇·0.05,   |u| ≤ 2
 *
 * A step's reward is −(φ² + 0.1 φ̇² + 0.001 u²) before it, φ in [−π, π). 200 steps; nothing ends them earlier.
 */
import { clamp, type Environment } from "./environment.js";

const [gravity, tau, strongest, fastest] = [10, 0.05, 2, 8];

/** φ as an angle in [−π, π). */
const normalized = (angle: number) => angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));

/** s = (φ, φ̇). */
export const pendulum: Environment = {
  name: "pendulum",
  stateSize: 2,
  observationSize: 3,
  actions: { kind: "continuous", scale: strongest },
  limit: 200,
  reset(s, rng) {
    s[0] = rng.uniform(-Math.PI, Math.PI);
    s[1] = rng.uniform(-1, 1);
  },
  step(s, action) {
    const [angle, rate] = [s[0]!, s[1]!];
    const torque = clamp(action, -strongest, strongest);
    const cost = normalized(angle) ** 2 + 0.1 * rate ** 2 + 0.001 * torque ** 2;
    s[1] = clamp(rate + (1.5 * gravity * Math.sin(angle) + 3 * torque) * tau, -fastest, fastest);
    s[0] = angle + s[1] * tau;
    return -cost;
  },
  terminal: () => false,
  observe(s, observation, at) {
    observation[at] = Math.cos(s[0]!);
    observation[at + 1] = Math.sin(s[0]!);
    observation[at + 2] = s[1]! / fastest;
  },
};
