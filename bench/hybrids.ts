/**
 * npx tsx bench/hybrids.ts [problem] [--seconds 6] [--seeds 0,1,2] [--batch 900] kfac switchTo:first=adam,second=kfac,at=100
 *
 * Trains a problem with each optimizer for equal times, one thread, and prints the training loss at the end by seed, the
 * lowest of each seed in bold, then for every switchTo on how many seeds it is below all others that are a part of it.
 * Time is the process's own on the processor, of training alone: other work on the machine slows a run down, but does
 * not take its time away as it does on a clock on the wall. What a run was at on the way goes to standard error.
 *
 * The training loss is that of all examples, where the problem measures it, else of the last batch.
 */
import { parseArgs } from "node:util";
import { readOptimizer, readProblem } from "../src/cli/options.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { openSession } from "../src/lab/session.js";
import { createRuntime } from "../src/runtime/runtime.js";
import { median } from "./operations.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "6" },
    seeds: { type: "string", default: "0,1,2" },
    batch: { type: "string" },
  },
});
const [name = "pinn-poisson", ...optimizers] = positionals;
const problem = openProblem(readProblem(name));
const seconds = Number(values.seconds);
const seeds = values.seeds.split(",").map(Number);
const batch = values.batch === undefined ? problem.defaults.batch : Number(values.batch);
const moments = [1, 2, 3, 4].map((k) => Number(((k / 4) * seconds).toPrecision(3)));
/** Steps between looks at the time. */
const stride = 10;

const runtime = await createRuntime({ threads: 1 });

/** The training loss at the end, and the steps. */
function train(optimizer: string, seed: number): { readonly loss: number; readonly steps: number } {
  const session = openSession(runtime, problem, {
    problem: problem.settings,
    optimizer: readOptimizer(optimizer),
    seed,
    batch,
    limits: { steps: Number.MAX_SAFE_INTEGER },
    evaluateEvery: stride,
    checkpoint: { seconds: 1e6 },
    engine: {},
  });
  const at: number[] = [];
  let [spent, steps] = [0, 0];
  while (at.length < moments.length) {
    const before = process.cpuUsage();
    let ofBatch = Number.NaN;
    for (let k = 0; k < stride; k++) {
      session.load(steps++);
      ofBatch = session.step().loss;
    }
    const { user, system } = process.cpuUsage(before);
    spent += (user + system) / 1e6;
    while (at.length < moments.length && spent >= moments[at.length]!)
      at.push(finite("trainingLoss" in problem.metrics ? session.evaluate().trainingLoss! : ofBatch));
  }
  session.release();
  const losses = at.map((loss, k) => `${moments[k]} s ${format(loss)}`).join(", ");
  console.error(`seed ${seed}, ${optimizer}: ${steps} steps; ${losses}`);
  return { loss: at.at(-1)!, steps };
}

/** A loss that is none is the highest. */
const finite = (loss: number): number => (Number.isFinite(loss) ? loss : Number.POSITIVE_INFINITY);
const format = (loss: number): string => (loss >= 1 ? loss.toFixed(1) : loss.toExponential(1));

/** Whether an optimizer is a part of the switchTo `whole`, by name. */
function isPart(whole: string, other: string): boolean {
  const { first, second } = readOptimizer(whole).settings;
  const { name } = readOptimizer(other);
  return name === (first ?? "adam") || name === (second ?? "kfac");
}

const rows = optimizers.map((optimizer) => ({ optimizer, runs: [] as ReturnType<typeof train>[] }));
for (const seed of seeds) for (const { optimizer, runs } of rows) runs.push(train(optimizer, seed));
await runtime.close();

const lowest = seeds.map((_, k) => Math.min(...rows.map(({ runs }) => runs[k]!.loss)));
console.log(`${problem.settings.name} (${problem.summary}), batches of ${batch}\n`);
console.log(
  `| training loss after ${seconds} s | steps | ${seeds.map((seed) => `seed ${seed}`).join(" | ")} | median |`,
);
console.log(`| --- | --: | ${seeds.map(() => "--:").join(" | ")} | --: |`);
for (const { optimizer, runs } of rows) {
  const cells = runs.map(({ loss }, k) => (loss === lowest[k] ? `**${format(loss)}**` : format(loss)));
  const steps = median(runs.map((run) => run.steps));
  console.log(
    `| ${[optimizer, steps, ...cells, format(median(runs.map(({ loss }) => loss)))].join(" | ")} |`,
  );
}
console.log();
for (const { optimizer, runs } of rows.filter((row) => readOptimizer(row.optimizer).name === "switchTo")) {
  const parents = rows.filter((row) => row.optimizer !== optimizer && isPart(optimizer, row.optimizer));
  const below = seeds.filter((_, k) => parents.every((parent) => runs[k]!.loss < parent.runs[k]!.loss));
  console.log(`${optimizer}: below ${parents.length} parents on ${below.length} of ${seeds.length} seeds`);
}
