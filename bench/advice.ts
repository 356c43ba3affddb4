/**
 * Advice beside evidence: what is advised for problems of the lab on this machine, and which method really arrives first.
 *
 *   npx tsx bench/advice.ts [--problems "digits-mlp pinn-poisson"] [--seconds 30] [--seed 0] [--ranking]
 *
 * Each method has what the problem suggests, or its defaults; one thread. Times are the processor's, of steps alone, so
 * that other work on the machine disturbs little. Who takes twice as long as the best
 * so far is stopped. --ranking prints the advice alone.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { advise } from "../src/advisor/advise.js";
import { measureHardware } from "../src/advisor/measure.js";
import { architectureOf } from "../src/advisor/read/objective.js";
import type { Task } from "../src/advisor/situation.js";
import { readProblem } from "../src/cli/options.js";
import type { Problem } from "../src/lab/problem.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { meets } from "../src/lab/run.js";
import { openSession } from "../src/lab/session.js";
import type { Target } from "../src/lab/settings.js";
import { random } from "../src/nn/index.js";
import { createRuntime } from "../src/runtime/runtime.js";

interface Scenario {
  readonly problem: string;
  /** Where the problem names none. */
  readonly task?: Task;
  /** Where the problem has none, or none for some seconds. */
  readonly target?: Target;
  readonly batch?: number;
  readonly evaluateEvery?: number;
  /** Likely winners first. */
  readonly rivals: readonly string[];
}

/** Friedman 1991: 20,000 rows of ten numbers, five of which matter, and noise of variance 1. */
function friedman(): string {
  const rng = random(0);
  const rows = Array.from({ length: 20_000 }, () => {
    const x = Array.from({ length: 10 }, () => rng.uniform());
    const [a, b, c, d, e] = x as [number, number, number, number, number];
    return [...x, 10 * Math.sin(Math.PI * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e + rng.normal()];
  });
  const header = [...Array.from({ length: 10 }, (_, k) => `x${k + 1}`), "y"];
  const file = join(mkdtempSync(join(tmpdir(), "friedman-")), "friedman.csv");
  writeFileSync(file, [header, ...rows].map((row) => row.join()).join("\n"));
  return `table:file=${file},target=y`;
}

const image = { rivals: ["sgd", "momentum", "adam", "muon", "kfac"] } as const;
const equation = {
  target: { metric: "l2Error", value: 1e-4, goal: "min" },
  rivals: ["newton", "kfac", "hessianFree", "lbfgs", "naturalGradient", "adam"],
} as const;
const recurrence = {
  evaluateEvery: 20,
  rivals: ["adam", "momentum", "sgd", "nesterov", "kfac", "muon", "hessianFree"],
} as const;
const scenarios: Readonly<Record<string, () => Scenario>> = {
  "digits-mlp": () => ({ problem: "digits-mlp", ...image }),
  "digits-cnn": () => ({ problem: "digits-cnn", ...image }),
  "fashion-mlp": () => ({ problem: "fashion-mlp", evaluateEvery: 100, ...image }),
  "fashion-cnn": () => ({ problem: "fashion-cnn", evaluateEvery: 100, ...image }),
  table: () => ({
    problem: friedman(),
    task: "regression",
    target: { metric: "loss", value: 0.025, goal: "min" },
    rivals: ["adam", "momentum", "sgd", "kfac", "soap", "muon"],
  }),
  autoencoder: () => ({
    problem: "autoencoder:encoder=256-64-16",
    target: { metric: "trainingError", value: 12, goal: "min" },
    batch: 512,
    rivals: ["kfac", "momentum", "adam", "sgd", "soap"],
  }),
  addition: () => ({ problem: "addition:length=50", ...recurrence }),
  multiplication: () => ({ problem: "multiplication:length=50", ...recurrence }),
  "temporal-order": () => ({ problem: "temporal-order:length=50", ...recurrence }),
  "copy-memory": () => ({ problem: "copy-memory", ...recurrence }),
  "fine-tune": () => ({
    problem: "fine-tune",
    evaluateEvery: 1,
    rivals: ["adam", "momentum", "kfac", "muon", "sgd"],
  }),
  "pinn-poisson": () => ({ problem: "pinn-poisson", ...equation }),
  "pinn-heat": () => ({ problem: "pinn-heat", ...equation }),
};

const { values } = parseArgs({
  options: {
    problems: { type: "string", default: Object.keys(scenarios).join(" ") },
    seconds: { type: "string", default: "30" },
    seed: { type: "string", default: "0" },
    ranking: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const runtime = await createRuntime({ threads: 1 });
const hardware = measureHardware(runtime);
const processor = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

interface Arrival {
  readonly name: string;
  /** Seconds of steps until the target was met; infinite where it was not. */
  readonly seconds: number;
  readonly steps: number;
  readonly last: number;
}

function arrive(
  problem: Problem,
  { target, batch, evaluateEvery }: Race,
  name: string,
  limit: number,
): Arrival {
  const session = openSession(runtime, problem, {
    problem: problem.settings,
    optimizer: { name, settings: {} },
    seed,
    batch,
    limits: { target, steps: 1e6 },
    evaluateEvery,
    checkpoint: { seconds: 1e6 },
    engine: {},
  });
  let seconds = 0;
  let last = Number.NaN;
  for (let step = 0; ; ) {
    // A method of few, dear steps is looked at after each.
    const start = processor();
    let finite = true;
    for (let k = 0; k < evaluateEvery && finite && processor() - start < limit / 100; k++) {
      session.load(step++);
      finite = session.step().finite;
    }
    seconds += processor() - start;
    const metrics = session.evaluate();
    last = metrics[target.metric]!;
    const met = finite && meets(target, metrics);
    if (met || !finite || seconds > limit) {
      session.release();
      return { name, seconds: met ? seconds : Number.POSITIVE_INFINITY, steps: step, last };
    }
  }
}

interface Race {
  readonly target: Target;
  readonly batch: number;
  readonly evaluateEvery: number;
}

console.log("| problem, target | advised | its time | best | its time | ratio |\n|---|---|--:|---|--:|--:|");
for (const name of values.problems.split(" ")) {
  const create = scenarios[name];
  if (!create)
    throw new Error(`there is no scenario ${name}; there are ${Object.keys(scenarios).join(", ")}`);
  const scenario = create();
  const problem = openProblem(readProblem(scenario.problem));
  const task = problem.task ?? scenario.task;
  if (!task) throw new Error(`${scenario.problem} has no task`);
  const race: Race = {
    target: scenario.target ?? problem.defaults.target!,
    batch: scenario.batch ?? problem.defaults.batch,
    evaluateEvery: scenario.evaluateEvery ?? Math.min(problem.defaults.evaluateEvery, 25),
  };
  const instance = problem.start(runtime, { seed, batch: race.batch });
  const { ranked } = advise(architectureOf(instance.objective, name), {
    batch: race.batch,
    hardware,
    precision: "f32",
    workers: 1,
    task,
    phase: "early",
    budget: "moderate",
    expertise: "medium",
  });
  instance.release();
  console.error(
    `${name}: ${ranked.map(({ method, time, steps, step }) => `${method} ${time.toFixed(2)}=${steps.toFixed(2)}·${step.toFixed(2)}`).join(", ")}`,
  );
  if (values.ranking) continue;
  const advised = ranked[0]!.method;
  const arrivals: Arrival[] = [];
  for (const rival of new Set([advised, ...scenario.rivals])) {
    const best = Math.min(...arrivals.map(({ seconds }) => seconds));
    const arrival = arrive(problem, race, rival, Math.min(Number(values.seconds), 2 * best));
    arrivals.push(arrival);
    console.error(
      `  ${rival}: ${arrival.seconds.toFixed(2)} s, ${arrival.steps} steps, ${race.target.metric} ${arrival.last.toPrecision(4)}`,
    );
  }
  const [best] = arrivals.toSorted((a, b) => a.seconds - b.seconds);
  const own = arrivals[0]!.seconds;
  const show = (seconds: number) => (Number.isFinite(seconds) ? `${seconds.toFixed(2)} s` : "not");
  console.log(
    `| ${name}, ${race.target.metric} ${race.target.value} | ${advised} | ${show(own)} | ${best!.name} | ${show(best!.seconds)} | ${(own / best!.seconds).toFixed(2)} |`,
  );
}
await runtime.close();
