/**
 * One method first, another to finish: first-order steps are cheap where the loss is far from a minimum and any descent
 * will do; curvature pays where it is near. On physics-informed networks Adam, then L-BFGS reaches losses that neither
 * does alone (Rathore, Lei, Frangella, Lu, Udell 2024, "Challenges in training PINNs: a loss landscape perspective").
 * The switch comes at a step, or when a measurement says so (switch-detectors.ts), or when the first method stops.
 *
 *     θ ← first(θ) until the switch, θ ← second(θ) from then on
 *
 * Handed over are θ and the model's state, which both share, and of the second method's own state
 *
 *     all of it, the count of updates included     where the first keeps arrays of the same names: moments of one kind.
 *                                                  The second goes on as if it had been running, schedule and all
 *     the velocity, b ← b·η₁/η₂                    where both move by θ ← θ − η b with momentum
 *     nothing                                      else: a mean of gradients is no mean of preconditioned steps. The
 *                                                  second begins at its first update, with its schedule and warm-up
 *
 * Memory: the states of both, from the beginning to the end, so that a run can resume on either side. FLOPs: those of
 * the method whose turn it is; for noise 1.5 gradients, for drift two Hessian products a measurement.
 */

import { parameterCount } from "../curvature/model-shape.js";
import type { Objective } from "../curvature/objective.js";
import { scalars, vectors } from "./costs.js";
import {
  addEvaluations,
  defaultsOf,
  defineHybrid,
  mixed,
  part,
  prefixed,
  settingsOfParts,
  statesOf,
} from "./hybrid.js";
import type { Method } from "./method.js";
import type { Optimizer, StepReport, Training } from "./optimizer.js";
import { choice, count, decayRate, notNegative, positive, positiveCount } from "./settings.js";
import { type Detector, startDetector, type When } from "./switch-detectors.js";

export interface SwitchTo {
  readonly first: Optimizer;
  readonly second: Optimizer;
  readonly when: When;
}

/**
 *     const optimizer = switchTo({
 *       first: adam.create({ learningRate: 0.01 }),
 *       second: lbfgs.create(),
 *       when: { measure: "plateau", patience: 100, improvement: 0.01, smoothing: 0.9 },
 *     });
 */
export function switchTo({ first, second, when }: SwitchTo): Optimizer {
  const { measure, ...bounds } = when;
  return {
    name: "switchTo",
    settings: {
      ...defaultsOf(options),
      ...bounds,
      first: first.name,
      second: second.name,
      when: measure,
      ...settingsOfParts({ first, second }),
    },
    start: (objective) => start(objective, { first, second, when }),
  };
}

function start(objective: Objective, { first, second, when }: SwitchTo): Training {
  const { runtime } = objective;
  const parts = { first: first.start(objective), second: second.start(objective) };
  const detector: Detector = startDetector(objective, when);
  /** Updates so far, and at how many of them the second took over; −1 before. */
  const progress = runtime.buffer("i32", [2]);
  /** η of the first's last update. */
  const rate = runtime.buffer("f64", []);
  progress.data[1] = -1;
  const takeOver = (t: number) => {
    progress.data[1] = t;
    handOver(parts.first, parts.second, rate.data[0]! / Number(second.settings.learningRate));
  };
  return {
    state: { progress, rate, ...prefixed("when", detector.state), ...statesOf(parts) },
    ...(parts.second.coverage && { coverage: parts.second.coverage }),
    step(): StepReport {
      const t = progress.data[0]++;
      let asked = {};
      if (progress.data[1]! < 0) {
        const { due, evaluations } = detector.check(t);
        asked = evaluations;
        if (due) takeOver(t);
      }
      const switched = progress.data[1]! >= 0;
      const { stop, ...report } = parts[switched ? "second" : "first"].step();
      if (!switched) {
        detector.observe(report);
        rate.data[0] = report.learningRate ?? 0;
        if (stop) takeOver(t + 1);
      }
      return {
        ...report,
        ...(switched && stop && { stop }),
        evaluations: addEvaluations(report.evaluations, asked),
        diagnostics: { ...report.diagnostics, method: (switched ? second : first).name },
      };
    },
    release() {
      for (const each of [parts.first, parts.second, detector, progress, rate]) each.release();
    },
  };
}

/** The name under which methods with θ ← θ − η b keep b. */
const velocity = "momentum.buffer";

function handOver({ state: from }: Training, { state: to }: Training, ratio: number): void {
  const kept = (name: string) => from[name] !== undefined && from[name].size === to[name]!.size;
  const names = Object.keys(to);
  if (names.length > 1 && names.every(kept)) for (const name of names) to[name]!.data.set(from[name]!.data);
  if (to[velocity] && kept(velocity) && Number.isFinite(ratio))
    for (let k = 0; k < to[velocity].size; k++) to[velocity].data[k] = ratio * from[velocity]!.data[k]!;
}

const options = {
  first: part("adam", "the method that begins; first.<setting> sets what it has"),
  second: part("kfac", "the method that finishes; second.<setting> sets what it has"),
  when: choice(
    "step",
    ["step", "plateau", "noise", "drift"],
    "the second takes over at a step, at a plateau of the training loss, or when the gradient-noise scale or the drift " +
      "of the curvature passes a bound",
  ),
  at: count(1000, "with when=step: updates by the first method"),
  patience: positiveCount(100, "with when=plateau: updates without improvement that make a plateau"),
  improvement: notNegative(0.01, "with when=plateau: what counts, in parts of the loss"),
  side: choice("below", ["below", "above"], "with when=noise or drift: on which side of the bound"),
  bound: positive(
    1,
    "with when=noise, of the noise scale in examples; with when=drift, of the relative change of the Hessian from one " +
      "measurement to the next",
  ),
  every: positiveCount(20, "with when=noise or drift: updates between measurements"),
  smoothing: decayRate(0.9, "decay of the averages of losses or measurements"),
};

export const switchToMethod = (find: (name: string) => Method) =>
  defineHybrid(
    {
      name: "switchTo",
      family: "hybrid",
      description:
        "One method first, another to finish: cheap steps far from a minimum, curvature near it. At a step, a plateau, or when noise or drift pass a bound.",
      reference:
        "Rathore, Lei, Frangella, Lu, Udell 2024, Challenges in training PINNs: a loss landscape perspective",
      parts: ["first", "second"],
      options,
      asks: { questions: ["gradients", "hessianVectorProducts"], batch: "any" },
      treats: [{ arrays: "all", how: "as the first method does, then as the second" }],
      /** Of the second's steps, since they are most of the work. */
      costs(parts, shape, { when }) {
        const both = mixed([
          [0, parts.first.costs(shape)],
          [1, parts.second.costs(shape)],
        ]);
        const own = { step: 0, plateau: 4, noise: 3, drift: 3 }[when];
        const anchor = when === "drift" ? vectors("history", 1, parameterCount(shape)) : [];
        return { ...both, state: [...both.state, ...anchor, scalars(3 + own)] };
      },
    },
    find,
    ({ when, at, patience, improvement, side, bound, every, smoothing }, { first, second }) => {
      const whens: Readonly<Record<typeof when, When>> = {
        step: { measure: "step", at },
        plateau: { measure: "plateau", patience, improvement, smoothing },
        noise: { measure: "noise", side, bound, every, smoothing },
        drift: { measure: "drift", side, bound, every, smoothing },
      };
      return switchTo({ first, second, when: whens[when] });
    },
  );
