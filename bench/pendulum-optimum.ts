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
  const i = Math.min(Math.floor(x), angles - 2);
  const j = Math.min(Math.floor(y), speeds - 2);
  const [k, u, v] = [i * speeds + j, x - i, y - j];
  const low = (1 - v) * V[k]! + v * V[k + 1]!;
  const high = (1 - v) * V[k + speeds]! + v * V[k + speeds + 1]!;
  return (1 - u) * low + u * high;
}

/** What the torque u brings from (φ, φ̇): r + V'(s'). */
function earned(next: Float64Array, angle: number, speed: number, u: number): number {
  state[0] = angle;
  state[1] = speed;
  return pendulum.step(state, u) + interpolate(next, state[0]!, state[1]!);
}

const torqueAt = (k: number, count: number) => strongest * ((2 * k) / (count - 1) - 1);

const values: Float64Array[] = [];
values[pendulum.limit] = new Float64Array(angles * speeds);
for (let t = pendulum.limit - 1; t >= 0; t--) {
  const [next, here] = [values[t + 1]!, new Float64Array(angles * speeds).fill(Number.NEGATIVE_INFINITY)];
  for (let i = 0; i < angles; i++)
    for (let j = 0; j < speeds; j++)
      for (let k = 0; k < torques; k++) {
        const [angle, speed] = [(i / (angles - 1)) * turn, (j / (speeds - 1)) * 2 * fastest - fastest];
        const value = earned(next, angle, speed, torqueAt(k, torques));
        if (value > here[i * speeds + j]!) here[i * speeds + j] = value;
      }
  values[t] = here;
}

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
      const angle = Math.atan2(sine!, cosine!);
      let most = Number.NEGATIVE_INFINITY;
      for (let k = 0; k < 401; k++) {
        const torque = torqueAt(k, 401);
        const value = earned(values[t + 1]!, angle, fastest * speed!, torque);
        if (value <= most) continue;
        most = value;
        actions.data[e] = torque / strongest;
      }
    }
    t++;
  },
  release() {},
};
console.log(`the best policy's averageReturn: ${createTrial(pendulum, actor, episodes).run().toFixed(1)}`);
runtime.close();
