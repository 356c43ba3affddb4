/**
 * One measurement of our side, as its own process, printed as one line of JSON:
 *   tsx bench/side.ts WORKLOAD OPERATION --threads 1 --seconds 2 [--clock cpu] [--library]
 * With --library a clock around each function of the BLAS tells how much of the step is spent there, on one thread.
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
    library: { type: "boolean", default: false },
  },
});
const [name, what] = positionals as [string, string];
const runtime = await createRuntime({ threads: Number(values.threads) });
let withinLibrary = 0;
if (values.library) {
  type Function = (...values: number[]) => unknown;
  const timed = (call: Function): Function => {
    return (...values) => {
      const start = performance.now();
      const result = call(...values);
      withinLibrary += performance.now() - start;
      return result;
    };
  };
  const functions = Object.entries<Function>({ ...runtime.blas.functions });
  Object.assign(
    runtime.blas.functions,
    Object.fromEntries(functions.map(([name, call]) => [name, timed(call)])),
  );
}
const measured = operation(what, workloads[name]!()(runtime));

const first = measured.step();
const budget = Number(values.seconds) * 1000;
const warm = performance.now();
for (let n = 0; n < Math.max(5, measured.period) || performance.now() - warm < budget / 3; n++)
  measured.step();
const samples: number[] = [];
const clock = values.clock === "cpu" ? processorTime : () => performance.now();
const library: number[] = [];
const start = performance.now();
while (samples.length < 3 || performance.now() - start < budget) {
  withinLibrary = 0;
  samples.push(timePeriod(measured, clock));
  library.push(withinLibrary / measured.period);
}
console.log(
  JSON.stringify({
    workload: name,
    operation: what,
    threads: runtime.threads,
    milliseconds: median(samples),
    minimum: Math.min(...samples),
    ...(values.library && { library: median(library) }),
    samples: samples.length,
    first,
    last: measured.step(),
    blas: runtime.blas.description,
  }),
);
await runtime.close();
