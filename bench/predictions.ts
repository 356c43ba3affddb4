/**
 * Seconds of a step as the advisor predicts them for this machine, beside those that are measured:
 *
 *   npx tsx bench/predictions.ts [threads]
 */
import { costsOf } from "../src/advisor/costs.js";
import { measureHardware } from "../src/advisor/measure.js";
import { architectureOf } from "../src/advisor/read/objective.js";
import { openProblem } from "../src/lab/problems/registry.js";
import { createOptimizer, type OptimizerName } from "../src/optimizers/registry.js";
import { createRuntime } from "../src/runtime/runtime.js";

const threads = Number(process.argv[2] ?? 1);
const runtime = await createRuntime({ threads });
const hardware = measureHardware(runtime);
const pairs: readonly (readonly [string, Readonly<Record<string, string>>, number, OptimizerName, number])[] =
  [
    ["digits-mlp", { hidden: "1000-500" }, 256, "sgd", 60],
    ["digits-mlp", { hidden: "1000-500" }, 256, "adam", 60],
    ["digits-mlp", { hidden: "1000-500" }, 256, "muon", 10],
    ["digits-mlp", { hidden: "1000-500" }, 256, "kfac", 300],
    ["digits-mlp", { hidden: "2000-2000" }, 512, "momentum", 20],
    ["digits-cnn", { channels: "32-64" }, 128, "adam", 40],
    ["digits-cnn", { channels: "32-64" }, 128, "kfac", 300],
  ];
console.log(`${hardware.name}, ${threads} thread${threads === 1 ? "" : "s"}, ${runtime.blas.description}\n`);
console.log(
  "| model | batch | optimizer | predicted ms | measured ms | predicted/measured |\n|---|--:|---|--:|--:|--:|",
);
for (const [name, options, batch, method, steps] of pairs) {
  const problem = openProblem({ name, options });
  const instance = problem.start(runtime, { seed: 0, batch });
  instance.load(0);
  const model = architectureOf(instance.objective, name);
  const predicted =
    1000 * costsOf(model, method, {}, { batch, hardware, precision: "f32", workers: 1 }).seconds.total;
  const training = createOptimizer(method).start(instance.objective);
  // Averages are young at first, and refreshed more often; a window holds whole refresh intervals.
  for (let step = 0; step < steps; step++) training.step();
  const windows = Array.from({ length: 3 }, () => {
    const start = performance.now();
    for (let step = 0; step < steps; step++) training.step();
    return (performance.now() - start) / steps;
  });
  const measured = windows.sort((a, b) => a - b)[1]!;
  training.release();
  instance.release();
  const label = `${name} ${Object.values(options).join(" ")}`;
  console.log(
    `| ${label} | ${batch} | ${method} | ${predicted.toFixed(2)} | ${measured.toFixed(2)} | ${(predicted / measured).toFixed(2)} |`,
  );
}
await runtime.close();
