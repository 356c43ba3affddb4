/**
 * npx tsx bench/catalogue.ts [problem] [--only adam,kfac] [--target 0.97] [--steps 4000] [--threads 1]
 *
 * Trains a problem with every optimizer of the catalogue, with its defaults and what the problem suggests, batches too,
 * and prints in how many steps each reaches the target. Methods with larger batches than the problem's have a fifth of
 * the steps. Steps, not seconds: the table does not depend on the machine's load.
 */
import { parseArgs } from "node:util";
import { readProblem } from "../src/cli/options.js";
import { formatMetric } from "../src/lab/format.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { meets } from "../src/lab/run.js";
import { batchFor, openSession } from "../src/lab/session.js";
import { type Method, optimizers } from "../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../src/runtime/runtime.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    target: { type: "string" },
    steps: { type: "string", default: "4000" },
    threads: { type: "string" },
  },
});
const problem = openProblem(readProblem(positionals[0] ?? "digits-mlp"));
const { defaults, suggested } = problem;
const target = { ...defaults.target!, ...(values.target && { value: Number(values.target) }) };

/** A row of the table. */
async function row(runtime: Runtime, { name }: Method): Promise<string> {
  const settings = Object.entries(suggested[name] ?? {}).map(([key, value]) => `${key}=${value}`);
  const optimizer = { name, settings: {} };
  const batch = batchFor(problem, optimizer);
  const row = (...cells: string[]) =>
    `| ${[name, settings.join(", "), String(batch), ...cells].join(" | ")} |`;
  try {
    const session = openSession(runtime, problem, {
      problem: problem.settings,
      optimizer,
      seed: 0,
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
    for (let step = 0; step < steps && reached === undefined; step++) {
      session.load(step);
      if (!session.step().finite) break;
      if ((step + 1) % every !== 0) continue;
      const test = session.evaluate();
      best = Math.max(best, test[target.metric]!);
      if (meets(target, test)) reached = step + 1;
    }
    session.release();
    return row(
      reached === undefined ? `not within ${steps}` : String(reached),
      formatMetric(target.metric, best),
    );
  } catch (error) {
    return row("refuses", (error as Error).message);
  }
}

const runtime = await createRuntime({ ...(values.threads && { threads: Number(values.threads) }) });
console.log(
  `${problem.settings.name} (${problem.summary}), to ${formatMetric(target.metric, target.value)} of the test\n`,
);
console.log(
  "| optimizer | settings beside its defaults | batch | steps | best |\n| --- | --- | --- | --- | --- |",
);
const only = values.only?.split(",");
for (const method of Object.values<Method>(optimizers))
  if (!only || only.includes(method.name)) console.log(await row(runtime, method));
await runtime.close();
