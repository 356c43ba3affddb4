/**
 * One measurement of our side, as its own process, printed as one line of JSON:
 *   tsx bench/side.ts WORKLOAD OPERATION --threads 1 --seconds 2
 */
import { parseArgs } from "node:util";
import { createRuntime } from "../src/runtime/runtime.js";
import { median, operation, processorTime, timePeriod } from "./operations.js";
import { workloads } from "./workloads.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "1" },
    seconds: { type: "string", default: "2" },
    clock: { type: "string", default: "wall" },
  },
});
const [name, what] = positionals as [string, string];
const runtime = await createRuntime({ threads: Number(values.threads) });
const measured = operation(what, workloads[name]!()(runtime));

const first = measured.step();
const budget = Number(values.seconds) * 1000;
const warm = performance.now();
for (let n = 0; n < Math.max(5, measured.period) || performance.now() - warm < budget / 3; n++)
  measured.step();
const samples: number[] = [];
const clock = values.clock === "cpu" ? processorTime : () => performance.now();
const start = performance.now();
while (samples.length < 3 || performance.now() - start < budget) samples.push(timePeriod(measured, clock));
console.log(
  JSON.stringify({
    workload: name,
    operation: what,
    threads: runtime.threads,
    milliseconds: median(samples),
    minimum: Math.min(...samples),
    samples: samples.length,
    first,
    last: measured.step(),
    blas: runtime.blas.description,
  }),
);
await runtime.close();
