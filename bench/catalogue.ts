/**
 * npx tsx bench/catalogue.ts [problem] [--smaller problem] [--only adam,kfac] [--target 0.97] [--steps 4000]
 *     [--seed 0] [--threads 1]
 *
 * Trains a problem with every optimizer of the catalogue, with its defaults and what the problem suggests, batches too,
 * and prints in how many steps each reaches the target. Methods with larger batches than the problem's have a fifth of
 * the steps. What refuses the problem for its size is trained on the smaller one, to the same target. Seconds are the
 * process's own on the processor, of training alone: with one thread they depend little on the machine's load.
 */
import { parseArgs } from "node:util";
import { readProblem } from "../src/cli/options.js";
import { formatMetric, formatSignificant } from "../src/lab/format.js";
import type { Problem } from "../src/lab/problem.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { meets } from "../src/lab/run.js";
import { batchFor, openSession } from "../src/lab/session.js";
import { type Method, optimizers } from "../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../src/runtime/runtime.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smaller: { type: "string" },
    only: { type: "string" },
    target: { type: "string" },
    steps: { type: "string", default: "4000" },
    seed: { type: "string", default: "0" },
    threads: { type: "string" },
  },
});
const problem = openProblem(readProblem(positionals[0] ?? "digits-mlp"));
const smaller = values.smaller === undefined ? undefined : openProblem(readProblem(values.smaller));
const { defaults } = problem;
const target = { ...defaults.target!, ...(values.target && { value: Number(values.target) }) };

/** A row of the table: the method on a problem. */
function rowOf(runtime: Runtime, method: Method, on: Problem): string {
  const { name } = method;
  const settings = Object.entries(on.suggested[name] ?? {}).map(([key, value]) => `${key}=${value}`);
  const optimizer = { name, settings: {} };
  const batch = batchFor(on, optimizer);
  const title = on === problem ? name : `${name}, on ${values.smaller}`;
  const row = (...cells: string[]) =>
    `| ${[title, settings.join(", "), String(batch), ...cells].join(" | ")} |`;
  try {
    const session = openSession(runtime, on, {
      problem: on.settings,
      optimizer,
      seed: Number(values.seed),
      batch,
      limits: { target, steps: Number(values.steps) },
      evaluateEvery: 50,
      checkpoint: { seconds: 1e6 },
      engine: {},
    });
    // A method with few, dear steps is looked at more often.
    const every = batch === defaults.batch ? 50 : 5;
    const steps = batch === defaults.batch ? Number(values.steps) : Number(values.steps) / 5;
    let best = Number.NEGATIVE_INFINITY;
    let reached: number | undefined;
    let seconds = 0;
    for (let step = 0; step < steps && reached === undefined; step++) {
      const before = process.cpuUsage();
      session.load(step);
      const { finite } = session.step();
      const { user, system } = process.cpuUsage(before);
      seconds += (user + system) / 1e6;
      if (!finite) break;
      if ((step + 1) % every !== 0) continue;
      const test = session.evaluate();
      best = Math.max(best, test[target.metric]!);
      if (meets(target, test)) reached = step + 1;
    }
    session.release();
    return row(
      reached === undefined ? `not within ${steps}` : String(reached),
      formatMetric(target.metric, best),
      formatSignificant(seconds, 2),
    );
  } catch (error) {
    if (smaller && on === problem) return rowOf(runtime, method, smaller);
    return row("refuses", (error as Error).message);
  }
}

const runtime = await createRuntime({ ...(values.threads && { threads: Number(values.threads) }) });
console.log(
  `${problem.settings.name} (${problem.summary}), to ${formatMetric(target.metric, target.value)} of the test\n`,
);
console.log(
  "| optimizer | settings beside its defaults | batch | steps | best | seconds |\n| --- | --- | --- | --: | --: | --: |",
);
const only = values.only?.split(",");
for (const method of Object.values<Method>(optimizers))
  if (!only || only.includes(method.name)) console.log(rowOf(runtime, method, problem));
await runtime.close();
