/**
 * A pole on a cart, pushed left or right. Barto, Sutton, Anderson 1983, "Neuronlike adaptive elements that can solve
 * difficult learning control problems", without friction (Florian 2007, "Correct equations for the dynamics of the
 * cart-pole system"); constants, start and end of Gym's CartPole-v1. With x the cart's place, φ the pole's angle from
 * upright, l half its length, M = m_cart + m_pole, F = ±10 N:
 *
 *     u = (F + m_pole l φ̇² sin φ)/M
 *     φ̈ = (g sin φ − u cos φ) / (l (4/3 − m_pole cos² φ/M)),   ẍ = u − m_pole l φ̈ cos φ/M
 *
 * by Euler's rule in steps of 0.02 s: places first, with the velocities before the step. A reward of 1 a step, until
 * |x| > 2.4 m or |φ| > 12°, 500 steps at most.
 */
import type { Environment } from "./environment.js";

const [gravity, pole, mass, length, force, tau] = [9.8, 0.1, 1.1, 0.5, 10, 0.02];
const [widest, steepest] = [2.4, (12 * 2 * Math.PI) / 360];

/** s = (x, ẋ, φ, φ̇). */
export const cartpole: Environment = {
  name: "cartpole",
  stateSize: 4,
  observationSize: 4,
  actions: { kind: "discrete", count: 2 },
  limit: 500,
  reset(s, rng) {
    for (let i = 0; i < 4; i++) s[i] = rng.uniform(-0.05, 0.05);
  },
  step(s, action) {
    const [velocity, angle, rate] = [s[1]!, s[2]!, s[3]!];
    const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
    const push = ((action === 1 ? force : -force) + pole * length * rate ** 2 * sin) / mass;
    const turn = (gravity * sin - cos * push) / (length * (4 / 3 - (pole * cos ** 2) / mass));
    s[0]! += tau * velocity;
    s[1]! += tau * (push - (pole * length * turn * cos) / mass);
    s[2]! += tau * rate;
    s[3]! += tau * turn;
    return 1;
  },
  terminal: (s) => Math.abs(s[0]!) > widest || Math.abs(s[2]!) > steepest,
  observe(s, observation, at) {
    observation[at] = s[0]! / widest;
    observation[at + 1] = s[1]! / 2;
    observation[at + 2] = s[2]! / steepest;
    observation[at + 3] = s[3]! / 2;
  },
};
