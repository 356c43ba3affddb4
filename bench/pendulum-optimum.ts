/**
 * What the best of all policies earns on the episodes that `pendulum` is measured on: dynamic programming over time,
 *
 *     V_T = 0,   V_t(s) = max_u r(s, u) + V_{t+1}(s'),
 *
 * on a grid of angles, speeds and torques, bilinear in between; then these episodes, played with the best torque.
 *
 *     npx tsx bench/pendulum-optimum.ts
 */
import { pendulum } from "../src/lab/problems/reinforcement/pendulum.js";
import { createTrial } from "../src/lab/problems/reinforcement/rollout.js";
import { createRuntime } from "../src/runtime/runtime.js";

const [angles, speeds, torques] = [361, 241, 31];
const [turn, fastest, strongest] = [2 * Math.PI, 8, 2];
const state = new Float64Array(2);

/** V at (φ, φ̇), φ periodic. */
function interpolate(V: Float64Array, angle: number, speed: number): number {
  const x = (angle / turn - Math.floor(angle / turn)) * (angles - 1);
  const y = ((speed + fastest) / (2 * fastest)) * (speeds - 1);
  const [i, j] = [Math.min(Math.floor(x), angles - 2), Math.min(Math.floor(y), speeds - 2)];
  const [u, v] = [x - i, y - j];
  const row = (k: number) => (1 - v) * V[k * speeds + j]! + v * V[k * speeds + j + 1]!;
  return (1 - u) * row(i) + u * row(i + 1);
}

/** The best of so many torques, and what it brings: r + V'(s'). */
function best(next: Float64Array, angle: number, speed: number, count: number) {
  let [torque, value] = [0, Number.NEGATIVE_INFINITY];
  for (let k = 0; k < count; k++) {
    const u = strongest * ((2 * k) / (count - 1) - 1);
    state[0] = angle;
    state[1] = speed;
    const q = pendulum.step(state, u) + interpolate(next, state[0]!, state[1]!);
    if (q > value) [torque, value] = [u, q];
  }
  return { torque, value };
}

const values: Float64Array[] = [];
values[pendulum.limit] = new Float64Array(angles * speeds);
for (let t = pendulum.limit - 1; t >= 0; t--)
  values[t] = Float64Array.from(
    { length: angles * speeds },
    (_, k) =>
      best(
        values[t + 1]!,
        (Math.floor(k / speeds) / (angles - 1)) * turn,
        ((k % speeds) / (speeds - 1)) * 2 * fastest - fastest,
        torques,
      ).value,
  );

/** A policy that knows V, in as many environments as there are episodes; it sees (cos φ, sin φ, φ̇/8). */
const episodes = 100;
const runtime = await createRuntime({ threads: 1 });
const observations = runtime.buffer("f64", [episodes, 3]);
const actions = runtime.buffer("f64", [episodes]);
let t = 0;
const actor = {
  observations,
  key: runtime.buffer("i32", [2]),
  actions,
  logLikelihoods: actions,
  act() {
    for (let e = 0; e < episodes; e++) {
      const [cosine, sine, speed] = Array.from(observations.data.subarray(3 * e, 3 * e + 3));
      const { torque } = best(values[t + 1]!, Math.atan2(sine!, cosine!), fastest * speed!, 401);
      actions.data[e] = torque / strongest;
    }
    t++;
  },
  release() {},
};
console.log(`the best policy's averageReturn: ${createTrial(pendulum, actor, episodes).run().toFixed(1)}`);
runtime.close();
