/**
 * Advice beside evidence: what is advised for a problem of the lab on this machine, and what a race says.
 *
 *   npm run build && npx tsx bench/advice.ts [--problems digits-mlp,pinn-poisson] [--seconds 20] [--seeds 1] [--threads 1]
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { advise } from "../src/advisor/advise.js";
import { measureHardware } from "../src/advisor/measure.js";
import { architectureOf } from "../src/advisor/read/objective.js";
import type { Task } from "../src/advisor/situation.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { runRace } from "../src/lab/race.js";
import type { ProblemSettings, Target } from "../src/lab/settings.js";
import { createRuntime } from "../src/runtime/runtime.js";

interface Scenario {
  readonly problem: ProblemSettings;
  readonly task: Task;
  /** Where the problem's own target is none for a race of seconds. */
  readonly target?: Target;
  readonly batch?: number;
  readonly rivals: readonly string[];
}

const first = ["sgd", "momentum", "adam", "adamw"];
const scenarios: Readonly<Record<string, Scenario>> = {
  "digits-mlp": {
    problem: { name: "digits-mlp", options: {} },
    task: "image-classification",
    rivals: [...first, "muon", "soap", "kfac"],
  },
  "digits-cnn": {
    problem: { name: "digits-cnn", options: {} },
    task: "image-classification",
    rivals: [...first, "muon", "soap", "kfac"],
  },
  "pinn-poisson": {
    problem: { name: "pinn-poisson", options: {} },
    task: "differential-equation",
    target: { metric: "l2Error", value: 1e-4, goal: "min" },
    rivals: ["adam", "lbfgs", "newton", "hessianFree", "naturalGradient", "kfac"],
  },
  autoencoder: {
    problem: { name: "autoencoder", options: { encoder: "256-64-16", initial: "glorot" } },
    task: "regression",
    target: { metric: "trainingError", value: 12, goal: "min" },
    batch: 512,
    rivals: [...first, "soap", "kfac"],
  },
};

const { values } = parseArgs({
  options: {
    problems: { type: "string", default: Object.keys(scenarios).join() },
    seconds: { type: "string", default: "20" },
    seeds: { type: "string", default: "1" },
    threads: { type: "string", default: "1" },
  },
});
const threads = Number(values.threads);
const runtime = await createRuntime({ threads });
const hardware = measureHardware(runtime);
console.log(
  "| problem | advised | its time | best of the race | its time | ratio |\n|---|---|--:|---|--:|--:|",
);
for (const name of values.problems.split(",")) {
  const scenario = scenarios[name];
  if (!scenario)
    throw new Error(`there is no scenario ${name}; there are ${Object.keys(scenarios).join(", ")}`);
  const problem = openProblem(scenario.problem);
  const batch = scenario.batch ?? problem.defaults.batch;
  const instance = problem.start(runtime, { seed: 0, batch });
  const advice = advise(
    architectureOf(instance.objective, name),
    {
      batch,
      hardware,
      precision: "f32",
      workers: 1,
      task: scenario.task,
      phase: "early",
      budget: "moderate",
      expertise: "medium",
    },
    {},
    name,
  );
  instance.release();
  const advised = advice.ranked[0]!.method;
  const target = scenario.target ?? problem.defaults.target!;
  const { scores } = await runRace(runtime, problem, join(mkdtempSync(join(tmpdir(), "advice-")), name), {
    problem: problem.settings,
    optimizers: [...new Set([advised, ...scenario.rivals])].map((rival) => ({ name: rival, settings: {} })),
    seeds: Array.from({ length: Number(values.seeds) }, (_, seed) => seed),
    batch,
    limits: { steps: 1e6, seconds: Number(values.seconds), target },
    evaluateEvery: Math.min(problem.defaults.evaluateEvery, 25),
    engine: { threads },
  });
  const seconds = (label: string) => scores.find((score) => score.label === label)!.seconds.median;
  const best = scores[0]!;
  const show = (time: number) =>
    Number.isFinite(time) ? `${time.toFixed(2)} s` : `not in ${values.seconds} s`;
  console.log(
    `| ${name}, ${target.metric} ${target.value} | ${advised} | ${show(seconds(advised))} | ${best.label} | ${show(best.seconds.median)} | ${(seconds(advised) / best.seconds.median).toFixed(2)} |`,
  );
  console.error(
    scores
      .map(({ label, seconds: s, best: value }) => `${label} ${show(s.median)} (${value.toPrecision(3)})`)
      .join("; "),
  );
}
await runtime.close();
