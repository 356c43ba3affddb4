/**
 * One measurement of our side, as its own process, printed as one line of JSON:
 *   tsx bench/side.ts WORKLOAD gradient|adam --threads 1 --seconds 2
 */
import { parseArgs } from "node:util";
import { compile } from "../src/compiler/compile.js";
import { createObjective } from "../src/curvature/objective.js";
import { layoutOf } from "../src/nn/parameters.js";
import { createOptimizer } from "../src/optimizers/index.js";
import { createRuntime } from "../src/runtime/runtime.js";
import { trace } from "../src/tensor/program.js";
import { initialize, lossAndGradient, viewsOf, workloads } from "./workloads.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: "string", default: "1" }, seconds: { type: "string", default: "2" } },
});
const [name, operation] = positionals as [string, string];
const workload = workloads[name]!();
const theta = initialize(workload);
const runtime = await createRuntime({ threads: Number(values.threads) });

function gradientStep(): () => number {
  const program = trace(
    (parameters, ...data) => lossAndGradient(workload, parameters!, data),
    { dtype: "f32", shape: [theta.length] },
    ...workload.data,
  );
  const executable = compile(runtime, program);
  executable.inputs[0]!.set(theta);
  workload.data.forEach((array, index) => {
    executable.inputs[index + 1]!.set(array.data);
  });
  return () => {
    executable.run();
    return executable.outputs[0]!.data[0]!;
  };
}
function optimizerStep(): () => number {
  const specs = Object.fromEntries(
    workload.parameters.map(([leaf, shape]) => [leaf, { dtype: "f32" as const, shape }]),
  );
  const objective = createObjective(runtime, {
    layout: layoutOf(specs),
    parameters: theta,
    batch: workload.data.map(({ dtype, shape }) => ({ dtype, shape })),
    trace: (parameters, batch) => ({
      loss: workload.loss(viewsOf(workload, parameters), batch),
      state: undefined,
    }),
  });
  workload.data.forEach((array, index) => {
    objective.batch[index]!.set(array.data);
  });
  const training = createOptimizer(operation, { learningRate: 1e-3 }).start(objective);
  return () => training.step().loss;
}

const step = operation === "gradient" ? gradientStep() : optimizerStep();
const first = step();
const budget = Number(values.seconds) * 1000;
let last = first;
const warm = performance.now();
for (let n = 0; n < 5 || performance.now() - warm < budget / 3; n++) last = step();
const samples: number[] = [];
const start = performance.now();
while (samples.length < 5 || performance.now() - start < budget) {
  const before = performance.now();
  last = step();
  samples.push(performance.now() - before);
}
samples.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    workload: name,
    operation,
    threads: runtime.threads,
    milliseconds: samples[samples.length >> 1],
    minimum: samples[0],
    samples: samples.length,
    lossFirst: first,
    lossLast: last,
    blas: runtime.blas.description,
  }),
);
await runtime.close();
