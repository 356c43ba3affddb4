/**
 * Costs of a step of every method and of curvature products, over our own gradient on the same workload: measured in
 * turn in one process, as ratios of medians.
 *
 *   npm run bench:costs -- [--workloads mlp-small,rnn] [--operations adam,kfac] [--threads 1] [--rounds 5] [--seconds 1]
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { createRuntime } from "../src/runtime/runtime.js";
import { median, type Operation, operation, timePeriod } from "./operations.js";
import { workloads } from "./workloads.js";

/** What a step may cost in gradients. */
const targets: Readonly<Record<string, number>> = {
  "hessian-vector": 2.5,
  "gauss-newton": 2.2,
  "gauss-newton-linearized": 1.5,
  adam: 1.1,
  "sophia:every=10": 1.4,
  "adahessian:every=10": 1.4,
  "kfac:factorInterval=10,inverseInterval=100": 1.5,
  "shampoo:interval=10,blockSize=1024": 2,
  "soap:interval=10,largestAxis=1024": 2,
};

const { values } = parseArgs({
  options: {
    workloads: { type: "string", default: Object.keys(workloads).join() },
    operations: { type: "string", default: Object.keys(targets).join(" ") },
    threads: { type: "string", default: "1" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "1" },
  },
});
const rounds = Number(values.rounds);
const runtime = await createRuntime({ threads: Number(values.threads) });

console.log(`${cpus()[0]?.model}, threads ${runtime.threads}, ${runtime.blas.description}\n`);
console.log(
  "| workload | gradient ms | operation | ms | gradients | target | |\n|---|--:|---|--:|--:|--:|---|",
);
for (const name of values.workloads.split(",")) {
  const create = workloads[name]!();
  const names = ["gradient", ...values.operations.split(" ")];
  const samples = names.map((): number[] => []);
  // Each has its own part of a round's time, and one period at least.
  const share = (1000 * Number(values.seconds)) / rounds;
  const take = (measured: Operation, into: number[], milliseconds: number) => {
    const start = performance.now();
    do into.push(timePeriod(measured));
    while (performance.now() - start < milliseconds);
  };
  const gradients = names.map((): number[] => []);
  names.forEach((what, k) => {
    // Of its own: an optimizer moves θ, and time can depend on where θ is.
    const objective = create(runtime);
    const [plain, measured] = [operation("gradient", objective), operation(what, objective)];
    take(plain, [], share);
    take(measured, [], share);
    for (let round = 0; round < rounds; round++) {
      take(plain, gradients[k]!, share / 4);
      take(measured, samples[k]!, share);
    }
    measured.release();
    objective.release();
  });
  names.slice(1).forEach((what, index) => {
    const [gradient, own] = [median(gradients[index + 1]!), median(samples[index + 1]!)];
    const target = targets[what];
    const verdict = target === undefined ? "" : own / gradient <= target ? "reached" : "not reached";
    console.log(
      `| ${name} | ${gradient.toFixed(3)} | ${what} | ${own.toFixed(3)} | ${(own / gradient).toFixed(2)} | ${target ?? ""} | ${verdict} |`,
    );
  });
}
await runtime.close();
