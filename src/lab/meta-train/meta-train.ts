/**
 * Meta-training of the learned optimizer: φ is trained by Adam on gradients of persistent evolution strategies, over
 * problems of the family. Each pair of trajectories trains problem after problem; one step of meta-training takes each
 * pair a stretch further. The loss of a training is the mean over its steps of
 *
 *     ℓ = log(min(L/s, 2) + 0.001),
 *
 * where L is the loss on the step's batch before the step, and s that of the best constant prediction: a logarithm,
 * since a target is reached sooner by halving a small loss as well as a large one.
 *
 * Everything random depends on the seed and on counted numbers, so a resumed meta-training ends with the same bits.
 */
import { type Random, random } from "../../nn/random.js";
import { phiLayout } from "../../optimizers/learned/network.js";
import type { Runtime } from "../../runtime/runtime.js";
import { type Architecture, drawArchitecture, drawProblem, type FamilyProblem } from "./family.js";
import { compileInner, type InnerState, type InnerTraining } from "./inner.js";
import { persistentGradient } from "./persistent-es.js";

export interface MetaSettings {
  readonly seed: number;
  /** Updates of φ. */
  readonly steps: number;
  /** Pairs of trajectories; each trains a problem of its own. */
  readonly pairs: number;
  /** Inner steps of a stretch. */
  readonly stretch: number;
  /** Stretches of the shortest and of the longest training. */
  readonly shortest: number;
  readonly longest: number;
  /** σ of the perturbations. */
  readonly sigma: number;
  /** Of Adam on φ, at the beginning. */
  readonly learningRate: number;
  /** Longest meta-gradient; longer ones are shortened to it. */
  readonly clip: number;
  readonly architectures: number;
  /** Updates between validations; problems and inner steps of one. */
  readonly validateEvery: number;
  readonly validationProblems: number;
  readonly validationSteps: number;
}

export const metaDefaults: MetaSettings = {
  seed: 0,
  steps: 6000,
  pairs: 32,
  stretch: 20,
  shortest: 3,
  longest: 25,
  sigma: 0.02,
  learningRate: 0.003,
  clip: 100,
  architectures: 64,
  validateEvery: 100,
  validationProblems: 16,
  validationSteps: 300,
};

/** One pair's trajectories, and what they train. */
export interface PairState {
  /** Problems that this pair has ended. */
  episode: number;
  plus: InnerState;
  minus: InnerState;
  /** ξ */
  readonly perturbations: Float64Array;
}

/** All that a step depends on. */
export interface MetaState {
  step: number;
  readonly phi: Float64Array;
  /** φ̄: the running average of φ, which is what is validated and kept. */
  readonly average: Float64Array;
  /** Of Adam. */
  readonly mean: Float64Array;
  readonly square: Float64Array;
  readonly pairs: PairState[];
  readonly best: { loss: number; step: number; readonly phi: Float64Array };
}

export interface MetaReport {
  /** Mean ℓ of this step's stretches. */
  readonly loss: number;
  /** ‖ĝ‖ before it is clipped. */
  readonly gradientNorm: number;
}

/** How a loss counts. A training that has diverged stays at the largest. */
export const levelOf = (loss: number, scale: number): number =>
  Math.log((Number.isFinite(loss) ? Math.min(loss / scale, 2) : 2) + 0.001);

/**
 * Where meta-training begins: near Adam. Two units carry the feature m/√v (β = 0.9) through both layers, as its positive
 * and negative part; the others are random.
 */
export function initialPhi(seed: number): Float64Array {
  const rng = random(seed).stream("initial phi");
  const phi = new Float64Array(phiLayout.size);
  const set = (name: string, value: (row: number, column: number) => number) => {
    const { offset, shape } = phiLayout.entry(name);
    const [rows, columns] = shape as [number, number];
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) phi[offset + i * columns + j] = value(i, j);
  };
  const carried = 19;
  set("weight1", (i, j) => (j < 2 ? (i === carried ? 1 - 2 * j : 0) : rng.normal() / Math.sqrt(45)));
  set("weight2", (i, j) => (j < 2 ? (i === j ? 1 : 0) : i < 2 ? 0 : rng.normal() / Math.sqrt(2)));
  set("weight3", (i, j) => (i < 2 ? (j === 0 ? 1 - 2 * i : 0) : 0.1 * rng.normal()));
  return phi;
}

export interface MetaTraining {
  readonly state: MetaState;
  /** One update of φ. */
  step(): MetaReport;
  /** Mean ℓ of whole trainings under φ on problems that are kept for this; keeps the best φ. */
  validate(): number;
  release(): void;
}

const [beta1, beta2, epsilon] = [0.9, 0.99, 1e-8];
/** The rate is that of the settings times 1/√(1 + t/100): gradients of evolution strategies stay noisy to the end. */
const rateAfter = (rate: number, updates: number): number => rate / Math.sqrt(1 + updates / 100);
/**
 * φ̄ ← φ̄ + 9/(t + 8) (φ − φ̄): about the mean of the last ninth of all φ. Shamir & Zhang 2013, "Stochastic gradient
 * descent for non-smooth optimization", section 4.
 */
const averagingAfter = (updates: number): number => 9 / (updates + 8);

/**
 * Meta-training from its beginning, or from a state.
 *
 *     const training = startMetaTraining(runtime, { ...metaDefaults, steps: 100 });
 *     for (let k = 0; k < 100; k++) training.step();
 */
export function startMetaTraining(runtime: Runtime, settings: MetaSettings, from?: MetaState): MetaTraining {
  const { seed, stretch, sigma } = settings;
  const rng = random(seed);
  const compiled = new Map<number, { readonly architecture: Architecture; readonly inner: InnerTraining }>();
  const architectureOf = (index: number) => {
    let found = compiled.get(index);
    if (!found) {
      const architecture = drawArchitecture("training", seed, index);
      found = { architecture, inner: compileInner(runtime, architecture) };
      compiled.set(index, found);
    }
    return found;
  };

  interface Assignment {
    readonly problem: FamilyProblem;
    readonly inner: InnerTraining;
    /** Inner steps until its end. */
    readonly length: number;
  }
  const assignmentOf = (pair: number, episode: number): Assignment => {
    const index = episode * settings.pairs + pair;
    const draw = rng.stream("assignment").stream(index);
    const { architecture, inner } = architectureOf(draw.integer(settings.architectures));
    const { shortest, longest } = settings;
    // The first trainings are of all lengths, lest all pairs begin anew at once.
    const stretches =
      episode === 0
        ? 1 + draw.integer(longest)
        : Math.round(Math.exp(draw.uniform(Math.log(shortest), Math.log(longest))));
    return {
      problem: drawProblem("training", architecture, seed, index),
      inner,
      length: stretches * stretch,
    };
  };

  const assignments: Assignment[] = [];
  const begin = (pair: number, episode: number): PairState => {
    const assignment = assignmentOf(pair, episode);
    assignments[pair] = assignment;
    const { problem, inner } = assignment;
    return {
      episode,
      plus: inner.begin(problem),
      minus: inner.begin(problem),
      perturbations: new Float64Array(phiLayout.size),
    };
  };
  const state: MetaState = from ?? {
    step: 0,
    phi: initialPhi(seed),
    average: initialPhi(seed),
    mean: new Float64Array(phiLayout.size),
    square: new Float64Array(phiLayout.size),
    pairs: Array.from({ length: settings.pairs }, (_, pair) => begin(pair, 0)),
    best: { loss: Number.POSITIVE_INFINITY, step: 0, phi: initialPhi(seed) },
  };
  if (from)
    from.pairs.forEach(({ episode }, pair) => {
      assignments[pair] = assignmentOf(pair, episode);
    });

  const unroll = (pair: number, side: "plus" | "minus") => (phi: Float64Array) => {
    const { problem, inner } = assignments[pair]!;
    let sum = 0;
    inner.advance(problem, state.pairs[pair]![side], phi, stretch, (loss) => {
      sum += levelOf(loss, problem.scale);
    });
    return sum / stretch;
  };
  const gradient = new Float64Array(phiLayout.size);

  return {
    state,
    step() {
      const noise = rng.stream("perturbation").stream(state.step);
      const loss = persistentGradient(
        state.phi,
        state.pairs.map(({ perturbations }, pair) => ({
          plus: unroll(pair, "plus"),
          minus: unroll(pair, "minus"),
          perturbations,
        })),
        sigma,
        (pair, values) => fillNormals(noise.stream(pair), values),
        gradient,
      );
      state.pairs.forEach(({ plus, episode }, pair) => {
        if (plus.step >= assignments[pair]!.length) state.pairs[pair] = begin(pair, episode + 1);
      });
      const gradientNorm = Math.hypot(...gradient);
      const clipped = Math.min(1, settings.clip / gradientNorm);
      const rate = rateAfter(settings.learningRate, state.step);
      state.step++;
      const averaging = averagingAfter(state.step);
      const [c1, c2] = [1 - beta1 ** state.step, 1 - beta2 ** state.step];
      gradient.forEach((value, i) => {
        const g = clipped * value;
        state.mean[i] = beta1 * state.mean[i]! + (1 - beta1) * g;
        state.square[i] = beta2 * state.square[i]! + (1 - beta2) * g * g;
        state.phi[i]! -= (rate * (state.mean[i]! / c1)) / (Math.sqrt(state.square[i]! / c2) + epsilon);
        state.average[i]! += averaging * (state.phi[i]! - state.average[i]!);
      });
      return { loss, gradientNorm };
    },
    validate() {
      let sum = 0;
      for (let k = 0; k < settings.validationProblems; k++) {
        const { architecture, inner } = architectureOf(k % settings.architectures);
        // Seeds that no training has.
        const problem = drawProblem("training", architecture, seed, -1 - k);
        inner.advance(problem, inner.begin(problem), state.average, settings.validationSteps, (loss) => {
          sum += levelOf(loss, problem.scale);
        });
      }
      const loss = sum / (settings.validationProblems * settings.validationSteps);
      if (loss < state.best.loss) {
        state.best.loss = loss;
        state.best.step = state.step;
        state.best.phi.set(state.average);
      }
      return loss;
    },
    release() {
      for (const { inner } of compiled.values()) inner.release();
    },
  };
}

function fillNormals(rng: Random, values: Float64Array): void {
  for (let i = 0; i < values.length; i++) values[i] = rng.normal();
}
