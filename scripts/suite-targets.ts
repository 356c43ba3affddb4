/**
 * npx tsx scripts/suite-targets.ts [--problems autoencoder:encoder=128-32] [--trials 12] [--seeds 3] [--threads 1]
 *
 * Finds the targets of the suite's rows that say "tuned" and writes them to assets/suite-targets.json; rows that are not
 * named keep theirs. Targets are frozen: run this for a new row, not to move one.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readProblem } from "../src/cli/options.js";
import { describeMachine } from "../src/lab/machine.js";
import type { Problem } from "../src/lab/problem.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { recordedRun } from "../src/lab/recorded-run.js";
import { bestOf, type Quality } from "../src/lab/score.js";
import { rangesOf } from "../src/lab/search.js";
import type { RunSettings } from "../src/lab/settings.js";
import { type Row, rows } from "../src/lab/suite/table.js";
import { readTargets, type TunedTarget, targetOf, targetsFile } from "../src/lab/suite/targets.js";
import { type TuneSettings, tune } from "../src/lab/tune.js";
import { findMethod } from "../src/optimizers/registry.js";
import { createRuntime, type Runtime } from "../src/runtime/runtime.js";

const { values } = parseArgs({
  options: {
    problems: { type: "string" },
    trials: { type: "string", default: "12" },
    seeds: { type: "string", default: "3" },
    threads: { type: "string", default: "1" },
  },
});
const [trials, seeds, threads] = [values.trials, values.seeds, values.threads].map(Number) as [
  number,
  number,
  number,
];
const wanted = values.problems?.split(";");
const folder = mkdtempSync(join(tmpdir(), "thalweg-targets-"));

async function tuned(runtime: Runtime, row: Row): Promise<TunedTarget> {
  const problem = openProblem(readProblem(row.problem));
  const [metric, goal] = Object.entries(problem.metrics)[0]!;
  const quality: Quality = { metric, goal };
  const seconds = 0.75 * row.seconds;
  const results: TunedTarget["results"][number][] = [];
  for (const name of ["adamw", "momentum"]) {
    const found = await search(runtime, problem, row, name, quality, seconds);
    results.push(found);
    console.log(
      `${row.problem} ${name} ${JSON.stringify(found.optimizer.settings)}: ${found.values.join(", ")}`,
    );
  }
  return { problem: row.problem, target: targetOf(results, quality), seconds, trials, results };
}

/** The best of the trials, and what it reaches on new seeds. */
async function search(
  runtime: Runtime,
  problem: Problem,
  row: Row,
  name: string,
  quality: Quality,
  seconds: number,
) {
  const place = join(folder, `${row.problem.replaceAll(/\W/g, "-")}-${name}`);
  // A target out of reach: its metric is what counts, and it ends no run.
  const never = quality.goal === "min" ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER;
  const settings: TuneSettings = {
    problem: problem.settings,
    optimizer: { name, settings: {} },
    ranges: rangesOf(name, findMethod(name).optionsFor({})),
    trials,
    searchSeed: 0,
    seeds: [0],
    batch: row.batches?.any ?? problem.defaults.batch,
    limits: { steps: 1e9, seconds, target: { ...quality, value: never } },
    evaluateEvery: problem.defaults.evaluateEvery,
    stopsEarly: false,
    engine: { threads },
  };
  const { trials: ranked } = await tune(runtime, problem, place, settings);
  const { optimizer } = ranked[0]!;
  const values: number[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const { problem: which, batch, limits, evaluateEvery, engine } = settings;
    const run: RunSettings = {
      ...{ problem: which, optimizer, seed, batch, limits, evaluateEvery, engine },
      checkpoint: { seconds: 1e6 },
    };
    const { measurements } = await recordedRun(runtime, problem, join(place, `fresh-${seed}`), run, {});
    values.push(bestOf(measurements, quality));
  }
  return { optimizer, values };
}

const before = existsSync(targetsFile) ? readTargets().targets : [];
const runtime = await createRuntime({ threads });
try {
  const chosen = rows.filter((row) => row.target === "tuned" && (!wanted || wanted.includes(row.problem)));
  const found: TunedTarget[] = [];
  for (const row of chosen) found.push(await tuned(runtime, row));
  const kept = before.filter(({ problem }) => !found.some((target) => target.problem === problem));
  const machine = describeMachine();
  const record = {
    format: "thalweg-targets",
    command: `npx tsx scripts/suite-targets.ts --trials ${trials} --seeds ${seeds} --threads ${threads}`,
    created: new Date().toISOString().slice(0, 10),
    machine: `${machine.processor}, ${machine.processors} processors, Node ${machine.node}; ${runtime.blas.description}`,
    targets: [...kept, ...found],
  };
  writeFileSync(targetsFile, `${JSON.stringify(record, undefined, 2)}\n`);
} finally {
  await runtime.close();
  rmSync(folder, { recursive: true, force: true });
}
