/**
 * Seconds of a step as the advisor predicts them for this machine, beside those that are measured:
 *
 *   npx tsx bench/predictions.ts [--workloads "mlp-small rnn"] [--optimizers "adam kfac"] [--threads 1] [--seconds 0.6] [--rounds 2]
 *
 * A machine in a cloud changes its clock by half from second to second. So both sides are the fastest of what was seen:
 * the machine is measured again and again, and of a step the fastest of its place in the refresh interval.
 */
import { parseArgs } from "node:util";
import { costsOf } from "../src/advisor/costs.js";
import type { Hardware } from "../src/advisor/hardware.js";
import { measureHardware } from "../src/advisor/measure.js";
import { architectureOf } from "../src/advisor/read/objective.js";
import { readNamed } from "../src/cli/options.js";
import type { OptimizerName } from "../src/optimizers/registry.js";
import { createRuntime } from "../src/runtime/runtime.js";
import { operation } from "./operations.js";
import { workloads } from "./workloads.js";

const { values } = parseArgs({
  options: {
    workloads: { type: "string", default: "mlp-small autoencoder cnn-small rnn transformer-tiny" },
    optimizers: {
      type: "string",
      default: "sgd adam muon kfac:factorInterval=5,inverseInterval=10 soap shampoo",
    },
    threads: { type: "string", default: "1" },
    seconds: { type: "string", default: "0.6" },
    rounds: { type: "string", default: "2" },
  },
});
const runtime = await createRuntime({ threads: Number(values.threads) });
let here = measureHardware(runtime);

/** Of two measurements of one machine, each rate from the faster. */
function fastest(a: Hardware, b: Hardware): Hardware {
  const [one, two] = [a.measured!, b.measured!];
  const points = (key: "products" | "thinProducts" | "bandwidths" | "cholesky" | "eigen") =>
    one[key].map(({ size, rate }, k) => ({ size, rate: Math.max(rate, two[key][k]!.rate) }));
  return {
    ...a,
    measured: {
      products: points("products"),
      thinProducts: points("thinProducts"),
      bandwidths: points("bandwidths"),
      cholesky: points("cholesky"),
      eigen: points("eigen"),
      elementwise: Math.max(one.elementwise, two.elementwise),
      transcendental: Math.max(one.transcendental, two.transcendental),
      call: Math.min(one.call, two.call),
    },
  };
}

/** A step by the places of its refresh interval: of each the fastest milliseconds that were seen. */
interface Timed {
  readonly workload: string;
  readonly named: string;
  readonly fastest: number[];
}

function measure({ workload, named, fastest }: Timed, seconds: number): void {
  const objective = workloads[workload]!()(runtime);
  const measured = operation(named, objective);
  // Averages are young at first, and refreshed more often.
  for (let k = 0; k < 2 * measured.period; k++) measured.step();
  const end = performance.now() + 1000 * seconds;
  do
    for (let place = 0; place < measured.period; place++) {
      const start = performance.now();
      measured.step();
      fastest[place] = Math.min(fastest[place] ?? Number.POSITIVE_INFINITY, performance.now() - start);
    }
  while (performance.now() < end);
  measured.release();
  objective.release();
}

const list = (text: string) => text.split(" ");
const pairs = list(values.workloads).flatMap((workload) =>
  list(values.optimizers).map((named): Timed => ({ workload, named, fastest: [] })),
);
const rounds = Number(values.rounds);
for (let round = 0; round < rounds; round++)
  for (const [index, pair] of pairs.entries()) {
    measure(pair, Number(values.seconds) / rounds);
    if (index % 8 === 7) here = fastest(here, measureHardware(runtime));
  }
here = fastest(here, measureHardware(runtime));
console.log(
  `${here.name}, ${runtime.threads} thread${runtime.threads === 1 ? "" : "s"}, ${runtime.blas.description}\n`,
);
console.log(
  "| model | batch | optimizer | predicted ms | measured ms | predicted/measured |\n|---|--:|---|--:|--:|--:|",
);
for (const { workload, named, fastest: places } of pairs) {
  const milliseconds = places.reduce((a, b) => a + b) / places.length;
  const objective = workloads[workload]!()(runtime);
  const { name, settings } = readNamed(named);
  const batch = objective.batch[0]!.shape[0]!;
  const costs = costsOf(architectureOf(objective, workload), name as OptimizerName, settings, {
    batch,
    hardware: here,
    precision: "f32",
    workers: 1,
  });
  objective.release();
  const predicted = 1000 * costs.seconds.total;
  console.log(
    `| ${workload} | ${batch} | ${named} | ${predicted.toFixed(3)} | ${milliseconds.toFixed(3)} | ${(predicted / milliseconds).toFixed(2)} |`,
  );
}
await runtime.close();
