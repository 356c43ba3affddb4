/**
 * npx tsx bench/hybrids.ts [problem] [--seconds 6] [--seeds 0,1,2] [--batch 900] kfac switchTo:first=adam,second=kfac,at=100
 *
 * Trains a problem with each optimizer for equal times, one thread, and prints the loss on the last batch at four
 * moments of each run. Time is the process's own on the processor, of training alone: other work on the machine slows a
 * run down, but does not take its time away as it does on a clock on the wall.
 */
import { parseArgs } from "node:util";
import { readOptimizer, readProblem } from "../src/cli/options.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { openSession } from "../src/lab/session.js";
import { createRuntime } from "../src/runtime/runtime.js";

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
const batch = values.batch === undefined ? problem.defaults.batch : Number(values.batch);
const moments = [1, 2, 3, 4].map((k) => (k / 4) * seconds);
/** Steps between looks at the time. */
const stride = 10;

const runtime = await createRuntime({ threads: 1 });

/** Losses at the moments, and the steps of the whole run. */
function losses(optimizer: string, seed: number): { readonly at: readonly number[]; readonly steps: number } {
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
    let loss = Number.NaN;
    for (let k = 0; k < stride; k++) {
      session.load(steps++);
      loss = session.step().loss;
    }
    const { user, system } = process.cpuUsage(before);
    spent += (user + system) / 1e6;
    while (at.length < moments.length && spent >= moments[at.length]!) at.push(loss);
  }
  session.release();
  return { at, steps };
}

console.log(`${problem.settings.name} (${problem.summary}), batches of ${batch}\n`);
console.log(`| optimizer | seed | steps | ${moments.map((moment) => `${moment} s`).join(" | ")} |`);
console.log(`| --- | --: | --: | ${moments.map(() => "--:").join(" | ")} |`);
for (const seed of values.seeds.split(",").map(Number))
  for (const optimizer of optimizers) {
    const { at, steps } = losses(optimizer, seed);
    console.log(
      `| ${optimizer} | ${seed} | ${steps} | ${at.map((loss) => loss.toExponential(1)).join(" | ")} |`,
    );
  }
await runtime.close();
