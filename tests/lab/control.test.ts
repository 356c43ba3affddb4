import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compile } from "../../src/compiler/compile.js";
import { argumentsOf, type Objective } from "../../src/curvature/objective.js";
import { describeEnvironment } from "../../src/lab/machine.js";
import { measureNoise } from "../../src/lab/noise.js";
import { probe } from "../../src/lab/probe.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { createAdvantages, estimate } from "../../src/lab/problems/reinforcement/advantages.js";
import { cartpole } from "../../src/lab/problems/reinforcement/cartpole.js";
import { type Environment, holding } from "../../src/lab/problems/reinforcement/environment.js";
import { mountainCar } from "../../src/lab/problems/reinforcement/mountain-car.js";
import { pendulum } from "../../src/lab/problems/reinforcement/pendulum.js";
import { compileActor, createPolicy } from "../../src/lab/problems/reinforcement/policy.js";
import { createStage } from "../../src/lab/problems/reinforcement/rollout.js";
import { train } from "../../src/lab/run.js";
import { readRun } from "../../src/lab/run-record.js";
import { openSession, optimizerFor } from "../../src/lab/session.js";
import type { RunSettings } from "../../src/lab/settings.js";
import { createRun, resumeRun } from "../../src/lab/store.js";
import { decodeTensors } from "../../src/lab/tensors.js";
import { random } from "../../src/nn/index.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder } from "./folder.js";

const root = temporaryFolder();
const runtime = await createRuntime({ threads: 1 });
afterAll(() => runtime.close());

/** [state after the step, reward, whether the episode ended] from a state on. */
function trajectory(environment: Environment, from: readonly number[], actions: readonly number[]) {
  const state = Float64Array.from(from);
  return actions.map((action) => {
    const reward = environment.step(state, action);
    return [...state, reward, environment.terminal(state) ? 1 : 0];
  });
}

/** Expects a trajectory up to rounding; 14 digits. */
function follows(
  environment: Environment,
  from: readonly number[],
  actions: readonly number[],
  expected: readonly (readonly number[])[],
) {
  trajectory(environment, from, actions).forEach((row, t) => {
    row.forEach((value, k) => {
      expect(value).toBeCloseTo(expected[t]![k]!, 13);
    });
  });
}

// Expected: gymnasium 1.3.0, env.unwrapped.state = …, then env.unwrapped.step(action).
describe("dynamics are Gym's", () => {
  it("CartPole-v1", () => {
    follows(
      cartpole,
      [0.01, -0.02, 0.03, 0.04],
      [1, 1, 0, 1],
      [
        [0.009600000000000001, 0.17467919574755525, 0.030799999999999998, -0.2430687179600081, 1, 0],
        [0.013093583914951107, 0.3693479760579556, 0.025938625640799837, -0.5258796280501483, 1, 0],
        [0.02048054343611022, 0.17387081260481596, 0.01542103307979687, -0.22513741609237464, 1, 0],
        [0.02395795968820654, 0.3687690101747617, 0.010918284757949377, -0.5129163478026587, 1, 0],
      ],
    );
    follows(
      cartpole,
      [2.35, 2, 0.1, 1],
      [1, 1],
      [
        [2.39, 2.1936535192045334, 0.12000000000000001, 0.7403219371502789, 1, 0],
        [2.4338730703840907, 2.3869323056414995, 0.13480643874300557, 0.48768405364025885, 1, 1],
      ],
    );
    follows(
      cartpole,
      [0, 0, -0.2, -0.3],
      [1, 1],
      [
        [0, 0.1973270386005526, -0.20600000000000002, -0.6484992364089333, 1, 0],
        [0.0039465407720110516, 0.3946325027889722, -0.2189699847281787, -0.9983365261671548, 1, 1],
      ],
    );
  });
  it("Pendulum-v1, torque and speed within their bounds, angles beyond a turn", () => {
    follows(
      pendulum,
      [3, 0.5],
      [1, -1.5, 3, 0],
      [
        [3.037792000302245, 0.7558400060449004, -9.026, 0],
        [3.06821953881762, 0.6085507703074956, -9.28755964857411, 0],
        [3.1163961009731405, 0.9635312431104143, -9.455004542386392, 0],
        [3.1655174338772016, 0.982426658081223, -9.804763903805584, 0],
      ],
    );
    follows(
      pendulum,
      [-4, 7.9],
      [2, 2],
      [
        [-3.6, 8, -11.457935146920741, 0],
        [-3.2, 8, -13.603483392664414, 0],
      ],
    );
    follows(pendulum, [7, -7.9], [-2], [[6.614636997451955, -7.707260050960908, -6.758823303843224, 0]]);
  });
  it("MountainCar-v0, the wall and the goal", () => {
    follows(
      mountainCar,
      [-0.5, 0],
      [0, 1, 2, 2],
      [
        [-0.5011768430041692, -0.0011768430041692573, -1, 0],
        [-0.5025217237161822, -0.0013448807120130136, -1, 0],
        [-0.503024577001083, -0.0005028532849008101, -1, 0],
        [-0.5026816388177632, 0.0003429381833199229, -1, 0],
      ],
    );
    follows(
      mountainCar,
      [-1.19, -0.069],
      [0, 2],
      [
        [-1.2, 0, -1, 0],
        [-1.1967581039591646, 0.0032418960408353683, -1, 0],
      ],
    );
    follows(mountainCar, [0.45, 0.065], [2], [[0.5154524832822674, 0.0654524832822674, -1, 1]]);
    follows(mountainCar, [0.55, 0.0699], [2], [[0.6, 0.07, -1, 1]]);
  });
  it("episodes begin where Gym's do", () => {
    const ranges: [Environment, [number, number][]][] = [
      [cartpole, Array(4).fill([-0.05, 0.05])],
      [
        pendulum,
        [
          [-Math.PI, Math.PI],
          [-1, 1],
        ],
      ],
      [
        mountainCar,
        [
          [-0.6, -0.4],
          [0, 0],
        ],
      ],
    ];
    for (const [environment, bounds] of ranges) {
      const rng = random(3);
      const states = Array.from({ length: 500 }, () => {
        const state = new Float64Array(environment.stateSize);
        environment.reset(state, rng);
        return state;
      });
      bounds.forEach(([low, high], i) => {
        const values = states.map((state) => state[i]!);
        expect(Math.min(...values)).toBeGreaterThanOrEqual(low);
        expect(Math.max(...values)).toBeLessThanOrEqual(high);
        expect(Math.max(...values) - Math.min(...values)).toBeGreaterThanOrEqual(0.9 * (high - low));
      });
    }
  });
});

/** What a policy of eight units, nearly uniform, experiences in three environments. */
function stageFor(environment: Environment, seed: number) {
  const policy = createPolicy(environment, { hidden: "8", activation: "tanh" });
  const { layout } = policy.network;
  const parameters = runtime.buffer("f32", [layout.size]);
  parameters.set(layout.flatten(policy.network.init(1).parameters).data);
  const actor = compileActor(runtime, policy, parameters, 3, "sample");
  return createStage(environment, actor, { environments: 3, steps: 200, seed });
}

describe("rollouts", () => {
  it("follow the dynamics from step to step, and begin anew where an episode ends", () => {
    const { rollout, play } = stageFor(cartpole, 0);
    play(0);
    const state = new Float64Array(4);
    const seen = new Float32Array(4);
    let ended = 0;
    for (let e = 0; e < 3; e++)
      for (let t = 0; t < 200; t++) {
        const row = e * 200 + t;
        const begins = t === 0 || rollout.ends[row - 1] === 1;
        expect(rollout.times[row]).toBe(begins ? 0 : rollout.times[row - 1]! + 1);
        // Observations are scaled states.
        [2.4, 2, (12 * 2 * Math.PI) / 360, 2].forEach((scale, i) => {
          state[i] = rollout.observations[row * 4 + i]! * scale;
        });
        expect(rollout.rewards[row]).toBe(1);
        cartpole.step(state, rollout.actions[row]!);
        expect(rollout.ends[row]).toBe(cartpole.terminal(state) ? 1 : 0);
        ended += rollout.ends[row]!;
        if (rollout.ends[row] === 1) continue;
        cartpole.observe(state, seen, 0);
        const last = t === 199;
        const after = last ? rollout.next.observations : rollout.observations;
        for (let i = 0; i < 4; i++) expect(seen[i]).toBeCloseTo(after[(last ? e : row + 1) * 4 + i]!, 5);
      }
    expect(ended).toBeGreaterThan(10);
    // About as many pushes to each side, with the probability that is noted.
    const right = rollout.actions.filter((action) => action === 1).length;
    expect(Math.abs(right / 600 - 0.5)).toBeLessThan(0.1);
    for (const value of rollout.logLikelihoods) expect(Math.abs(value + Math.LN2)).toBeLessThan(0.05);
  });
  it("are the same for the same seed and number, and others for others", () => {
    const actions = (seed: number, ...numbers: number[]) => {
      const { rollout, play } = stageFor(cartpole, seed);
      for (const number of numbers) play(number);
      return [...rollout.actions];
    };
    expect(actions(0, 4, 5)).toEqual(actions(0, 5));
    expect(actions(0, 4)).not.toEqual(actions(0, 5));
    expect(actions(1, 5)).not.toEqual(actions(0, 5));
  });
  it("draw normal actions with the density that is noted", () => {
    const { rollout, play } = stageFor(pendulum, 0);
    play(0);
    const actions = [...rollout.actions];
    const square = actions.reduce((sum, a) => sum + a * a, 0) / actions.length;
    expect(Math.abs(square - 1)).toBeLessThan(0.2);
    actions.forEach((a, row) => {
      expect(rollout.logLikelihoods[row]).toBeCloseTo(-0.5 * (a * a + Math.log(2 * Math.PI)), 0);
    });
  });
  it("hold an action for several steps, up to the end of the episode", () => {
    const [held, plain] = [Float64Array.of(-0.5, 0), Float64Array.of(-0.5, 0)];
    const four = holding(mountainCar, 4);
    expect(four.limit).toBe(50);
    expect(four.step(held, 2)).toBe(-4);
    for (let i = 0; i < 4; i++) mountainCar.step(plain, 2);
    expect(held).toEqual(plain);
    // The goal is one step away.
    expect(four.step(Float64Array.of(0.45, 0.065), 2)).toBe(-1);
  });
});

describe("mountain-car", () => {
  it("is left by a random policy only if it holds its actions", () => {
    const arrivals = (environment: Environment) => {
      const rng = random(0);
      const state = new Float64Array(2);
      let arrived = 0;
      for (let episode = 0; episode < 3000; episode++) {
        environment.reset(state, rng);
        for (let t = 0; t < environment.limit && !environment.terminal(state); t++)
          environment.step(state, rng.integer(3));
        if (environment.terminal(state)) arrived++;
      }
      return arrived / 3000;
    };
    expect(arrivals(mountainCar)).toBe(0);
    const held = arrivals(holding(mountainCar, 8));
    expect(held).toBeGreaterThan(0.01);
    expect(held).toBeLessThan(0.02);
  });
});

describe("advantages", () => {
  it("are sums of what the baseline did not expect, up to the end of an episode", () => {
    // Two environments of three steps; the first ends an episode with its second step.
    const rollout = {
      environments: 2,
      steps: 3,
      rewards: Float64Array.of(1, 2, 3, 4, 5, 6),
      ends: Uint8Array.of(0, 1, 0, 0, 0, 0),
    };
    const V = Float64Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6);
    const A = new Float64Array(6);
    estimate(rollout, { discount: 0.9, lambda: 0.5 }, V, Float64Array.of(7, 8), A);
    const first = [1 + 0.9 * 0.2 - 0.1, 2 - 0.2, 3 + 0.9 * 7 - 0.3] as const;
    const second = [4 + 0.9 * 0.5 - 0.4, 5 + 0.9 * 0.6 - 0.5, 6 + 0.9 * 8 - 0.6] as const;
    const expected = [
      first[0] + 0.45 * first[1],
      first[1],
      first[2],
      second[0] + 0.45 * (second[1] + 0.45 * second[2]),
      second[1] + 0.45 * second[2],
      second[2],
    ];
    expected.forEach((value, k) => {
      expect(A[k]).toBeCloseTo(value, 12);
    });
  });
  it("have nothing left that the baseline's features explain", () => {
    const { rollout, play } = stageFor(pendulum, 0);
    play(0);
    const options = { discount: 0.99, lambda: 1, limit: 200, features: 0 };
    const { values, compute, release } = createAdvantages(runtime, rollout, options);
    compute();
    release();
    const mean = (of: (row: number) => number) => values.reduce((sum, _, row) => sum + of(row), 0) / 600;
    expect(mean((row) => values[row]!)).toBeCloseTo(0, 10);
    expect(mean((row) => values[row]! ** 2)).toBeCloseTo(1, 10);
    // Normal equations, up to what the ridge leaves; the target of the fit is the return of each step.
    const o = (row: number, i: number) => rollout.observations[row * 3 + i]!;
    const tau = (row: number) => rollout.times[row]! / 200;
    for (const feature of [
      (row: number) => o(row, 0),
      (row: number) => o(row, 1) * o(row, 2),
      (row: number) => o(row, 2) ** 2,
      (row: number) => tau(row) ** 3,
      (row: number) => tau(row) * o(row, 0),
    ])
      expect(Math.abs(mean((row) => values[row]! * feature(row)))).toBeLessThan(1e-4);
    const returns = values.map((_, row) => {
      let sum = 0;
      for (let k = (Math.floor(row / 200) + 1) * 200 - 1; k >= row; k--)
        sum = rollout.rewards[k]! + 0.99 * sum;
      return sum;
    });
    expect(mean((row) => values[row]! * returns[row]!)).toBeGreaterThan(1);
  });
  it("have less left where the baseline has more features", () => {
    const { rollout, play } = stageFor(pendulum, 0);
    play(0);
    // A reward with a kink in the state, and none of later steps: V can be as good as its features.
    rollout.rewards.forEach((_, row) => {
      rollout.rewards[row] = Math.abs(rollout.observations[3 * row + 1]!);
    });
    // A = (r − V)/σ and r − V is orthogonal to V, so that mean A r is σ, the deviation of what V leaves.
    const left = [0, 40].map((features) => {
      const options = { discount: 0, lambda: 0, limit: 200, features };
      const { values, compute, release } = createAdvantages(runtime, rollout, options);
      compute();
      release();
      return values.reduce((sum, A, row) => sum + (A * rollout.rewards[row]!) / values.length, 0);
    });
    expect(left[1]!).toBeGreaterThan(0);
    expect(left[1]! / left[0]!).toBeLessThan(0.6);
  });
});

describe("the surrogate", () => {
  it("gives ratios beyond the clip no gain, and counts entropy", () => {
    const lossAt = (name: string, options: Record<string, number>, action: number, before: number[]) => {
      const instance = openProblem({ name, options: { hidden: "4", environments: 1, ...options } }).start(
        runtime,
        { seed: 0, batch: 2 },
      );
      const { objective } = instance;
      // At θ = 0 both actions have probability ½; the normal one is N(0, 1).
      objective.parameters.data.fill(0);
      const [, actions, advantages, likelihoods] = objective.batch;
      actions!.data.fill(action);
      advantages!.set([3, -5]);
      likelihoods!.set(before);
      const loss = objective.loss();
      instance.release();
      return loss;
    };
    const half = Math.log(0.5);
    const ratios = (a: number, b: number) => [half - Math.log(a), half - Math.log(b)];
    const mean = (a: number, b: number) => -(3 * a - 5 * b) / 2;
    expect(lossAt("cartpole", {}, 1, ratios(1, 1))).toBeCloseTo(mean(1, 1), 5);
    // A gain ends at 1.2 (good action) and 0.8 (bad action); a loss does not end.
    expect(lossAt("cartpole", {}, 1, ratios(2, 0.3))).toBeCloseTo(mean(1.2, 0.8), 5);
    expect(lossAt("cartpole", {}, 1, ratios(0.3, 2))).toBeCloseTo(mean(0.3, 2), 5);
    expect(lossAt("cartpole", { clip: 0 }, 1, ratios(2, 0.3))).toBeCloseTo(mean(2, 0.3), 5);
    const beta = 0.1;
    expect(lossAt("cartpole", { entropy: beta }, 0, ratios(1, 1))).toBeCloseTo(
      mean(1, 1) - beta * Math.LN2,
      5,
    );
    const normal = -0.5 * (0.7 ** 2 + Math.log(2 * Math.PI));
    const entropy = 0.5 * (1 + Math.log(2 * Math.PI));
    expect(lossAt("pendulum", { entropy: beta }, 0.7, [normal, normal])).toBeCloseTo(
      mean(1, 1) - beta * entropy,
      5,
    );
  });
  it("lets TRPO's step go to a divergence of δ between policies, exactly measured", () => {
    const problem = openProblem({ name: "cartpole", options: { hidden: "8", environments: 2 } });
    const instance = problem.start(runtime, { seed: 0, batch: 1000 });
    const training = optimizerFor(problem, { name: "naturalGradient", settings: {} }).start(
      instance.objective,
    );
    instance.load(0);
    const before = probabilities(instance.objective);
    const { diagnostics } = training.step();
    const after = probabilities(instance.objective);
    const divergence = before.reduce((sum, p, k) => sum + p * Math.log(p / after[k]!), 0) / 1000;
    expect(diagnostics!.divergence).toBeCloseTo(divergence, 4);
    expect(divergence).toBeLessThanOrEqual(problem.suggested.naturalGradient!.divergence as number);
    expect(divergence).toBeGreaterThan(0.001);
    training.release();
    instance.release();
  });
});

/** π(·|s) of the batch, row by row. */
function probabilities(objective: Objective): number[] {
  const given = argumentsOf(objective);
  const { outputCurvature } = objective.trace(given.parameters, given.batch, given.state, given.key);
  const executable = compile(
    runtime,
    { inputs: given.inputs, outputs: [outputCurvature!.outputs.softmax(-1)] },
    { inputs: given.buffers },
  );
  executable.run();
  const values = [...executable.outputs[0]!.data];
  executable.release();
  return values;
}

describe("problems of control", () => {
  const small = { hidden: "8", environments: 2 };
  const settings = (steps: number): RunSettings => ({
    problem: { name: "pendulum", options: { ...small, epochs: 2 } },
    optimizer: { name: "adam", settings: {} },
    seed: 1,
    batch: 100,
    limits: { steps },
    evaluateEvery: 4,
    checkpoint: { seconds: 1000 },
    engine: {},
  });
  const run = async (folder: string, given: RunSettings, resumes = false) => {
    const session = openSession(runtime, openProblem(given.problem), given);
    const store = resumes
      ? await resumeRun(folder, given.limits)
      : await createRun(folder, given, describeEnvironment(runtime));
    await train(store, session);
    store.close();
    session.release();
    const path = join(folder, "checkpoint.safetensors");
    const measured = readRun(folder).measurements.map(({ test }) => test);
    return { measured, arrays: decodeTensors(readFileSync(path), path).arrays };
  };
  it("resume with the same bits, also between two updates from one rollout", async () => {
    // A rollout of 400 steps makes eight updates.
    const whole = await run(join(root, "whole"), settings(20));
    expect(whole.measured.at(-1)!.environmentSteps).toBe(1200);
    for (const steps of [3, 13]) {
      const folder = join(root, `part-${steps}`);
      await run(folder, settings(steps));
      expect(await run(folder, settings(20), true)).toEqual({
        ...whole,
        measured: expect.arrayContaining(whole.measured.slice(-1)),
      });
    }
  });
  it("are learned: a pole falls after some twenty steps, and later stands much longer", () => {
    for (const optimizer of ["naturalGradient", "adam"]) {
      const problem = openProblem({ name: "cartpole", options: { hidden: "32", environments: 4 } });
      const instance = problem.start(runtime, { seed: 0, batch: 2000 });
      const training = optimizerFor(problem, { name: optimizer, settings: {} }).start(instance.objective);
      const before = instance.evaluate();
      for (let step = 0; step < 10; step++) {
        instance.load(step);
        training.step();
      }
      const after = instance.evaluate();
      expect(before.averageReturn).toBeLessThan(40);
      console.log(optimizer, before, after);
      expect(after.averageReturn).toBeGreaterThan(300);
      expect(after).toMatchObject({ environmentSteps: 20_000 });
      training.release();
      instance.release();
    }
  });
  it("can be probed: batches of one rollout at one θ, and everything is given back", () => {
    const used = runtime.used;
    for (const name of ["cartpole", "pendulum", "mountain-car"]) {
      const instance = openProblem({ name, options: { ...small, hidden: "4" } }).start(runtime, {
        seed: 0,
        batch: 8,
      });
      const options = { batch: 8, batches: 4, seed: 0 };
      const { eigenvalues, gradientNorm } = probe(instance, { ...options, kind: "fisher", top: 2 });
      expect(eigenvalues[0]!.value).toBeGreaterThan(0);
      expect(gradientNorm).toBeGreaterThan(0);
      const { gradient } = measureNoise(instance, { ...options, error: 0.5, decay: 0.95 });
      expect(gradient.batches.variance).toBeGreaterThan(0);
      instance.release();
    }
    expect(runtime.used).toBe(used);
  });
  it("say what is wrong with a batch or with steps to hold", () => {
    const problem = openProblem({ name: "pendulum", options: small });
    expect(() => problem.start(runtime, { seed: 0, batch: 500 })).toThrow(
      "pendulum: a batch of 500 from rollouts of 400 steps; use at most as many, or environments=3",
    );
    expect(() => openProblem({ name: "mountain-car", options: { hold: 7 } })).toThrow(
      "mountain-car: hold is 7; use a divisor of 200, the steps of an episode",
    );
  });
});
