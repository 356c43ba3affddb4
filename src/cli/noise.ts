/** `thalweg noise`: the noise of gradient and curvature by size of batch, and how fast curvature grows stale. */
import pc from "picocolors";
import { type FactorDrift, measureDrift } from "../lab/drift.js";
import { UsageError, UserError } from "../lab/errors.js";
import { formatCount, formatSignificant } from "../lab/format.js";
import { measureNoise, type NoiseMeasurement } from "../lab/noise.js";
import { loadProblem } from "../lab/problems/registry.js";
import { restore } from "../lab/run.js";
import { readArrays, readRun } from "../lab/run-record.js";
import { modelArrays, optimizerFor } from "../lab/session.js";
import type { NoiseFlags } from "./flags.js";
import { readCount, readEngine, readFraction, readOptimizer, readProblem } from "./options.js";
import { openRuntime, tellPlayers } from "./setup.js";
import { formatTable, plain, print, printJson } from "./text.js";

export async function noise(problemText: string | undefined, flags: NoiseFlags): Promise<void> {
  if (flags.run !== undefined && problemText !== undefined)
    throw new UsageError(`"${problemText}" is given beside --run, which measures the problem it finds`);
  const record = flags.run === undefined ? undefined : readRun(flags.run);
  const problem = await loadProblem(record?.settings.problem ?? readProblem(problemText ?? "digits-mlp"));
  if (problem.examples === 0)
    throw new UserError(
      `${problem.settings.name} is a function of its parameters alone: it has no examples, and so no noise; name a problem with data`,
    );
  const seed = readCount("seed", flags.seed, 0) ?? record?.settings.seed ?? 0;
  const smallest = readCount("smallest", flags.smallest) ?? 8;
  const batches = readCount("batches", flags.batches, 4) ?? 64;
  const batch = readCount("batch", flags.batch) ?? record?.settings.batch ?? problem.defaults.batch;
  const steps = readCount("steps", flags.steps, 0) ?? 160;
  const refresh = readCount("refresh", flags.refresh) ?? 100;
  const error = readFraction("error", flags.error) ?? 0.5;
  const decay = readFraction("decay", flags.decay) ?? 0.95;
  const optimizer = optimizerFor(problem, readOptimizer(flags.optimizer ?? "adam"));
  const snapshots = 8;
  if (steps > 0 && steps < snapshots)
    throw new UsageError(`--steps is ${steps}; use at least ${snapshots}, or 0 to measure no drift`);

  const runtime = await openRuntime(readEngine(flags));
  const onPart = (part: string) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${pc.dim(part)}`);
  };
  try {
    process.stderr.write(plain(`${problem.settings.name}: ${problem.summary}\n`));
    const measuring = problem.start(runtime, { seed, batch: smallest });
    if (flags.run !== undefined) restore(modelArrays(measuring.objective), readArrays(flags.run), flags.run);
    tellPlayers(measuring.objective);
    const measurement = measureNoise(measuring, { batch: smallest, batches, error, decay, seed, onPart });
    let drift: FactorDrift[] = [];
    if (steps > 0) {
      const training = problem.start(runtime, { seed, batch });
      training.objective.parameters.data.set(measuring.objective.parameters.data);
      if (measuring.objective.state) training.objective.state!.data.set(measuring.objective.state.data);
      const every = Math.floor(steps / snapshots);
      drift = measureDrift(training, measuring, optimizer, measurement, {
        batch,
        every,
        snapshots,
        batches: Math.min(batches, 32),
        refresh,
        onPart,
      });
      training.release();
    }
    measuring.release();
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
    if (flags.json) printJson({ ...measurement, drift });
    else {
      show(measurement);
      if (drift.length > 0) showDrift(drift, { optimizer: optimizer.name, batch, refresh });
    }
  } finally {
    await runtime.close();
  }
}

const number = (value: number) => (Number.isFinite(value) ? formatSignificant(value, 3) : "—");
const percent = (value: number) => (Number.isFinite(value) ? `${formatSignificant(100 * value, 3)} %` : "—");
const right = (title: string) => ({ title, align: "right" as const });

function show({ gradient, quantities, factors, activations, methods, ...rest }: NoiseMeasurement): void {
  const { batch, examples, error, decay, effectiveRank } = rest;
  print(pc.bold(plain(`Noise of ${formatCount(examples)} examples in batches of ${batch} and more`)));
  print("");
  print("Noise scale of the gradient: the batch, in examples, at which noise equals signal");
  const estimators = [
    ["all batches", gradient.batches],
    ["two sizes of batches", gradient.twoSizes],
    ["single examples", gradient.singleExamples],
  ] as const;
  print(
    formatTable(
      [{ title: "by" }, right("variance"), right("squared norm"), right("scale")],
      estimators.flatMap(([name, noise]) =>
        noise ? [[name, number(noise.variance), number(noise.squaredNorm), number(noise.scale)]] : [],
      ),
    ),
  );

  const sizes = quantities[0]!.sizes.map((size) => size.batch);
  print("");
  print("Error of one batch beside what it estimates; the slope is -1 where examples are independent");
  print(
    formatTable(
      [{ title: "quantity" }, ...sizes.map((size) => right(`B=${formatCount(size)}`)), right("slope")],
      quantities.map(({ name, sizes: at, slope }) => [
        name,
        ...at.map(({ relativeError }) => percent(relativeError)),
        slope.toFixed(2),
      ]),
    ),
  );

  if (factors.length > 0) {
    print("");
    print(
      plain(
        `Examples for a factor within ${error}·‖A‖: in one batch, and in each batch of an average with decay ${decay}`,
      ),
    );
    print(
      formatTable(
        [
          { title: "factor" },
          right("order"),
          right("effective rank"),
          right("positions"),
          right("one batch"),
          right("averaged"),
        ],
        factors.map((factor) => [
          `${factor.layer} ${factor.side}`,
          formatCount(factor.order),
          number(factor.effectiveRank),
          formatCount(factor.positions),
          formatCount(factor.batch),
          formatCount(factor.batchOfAverage),
        ]),
      ),
    );
  }
  if (activations.length > 0) {
    print("");
    print("Kurtosis of layers' inputs: 3 of a normal; heavy tails make factors noisier");
    print(
      formatTable(
        [{ title: "layer" }, right("median"), right("largest")],
        activations.map(({ layer, medianKurtosis, largestKurtosis }) => [
          layer,
          number(medianKurtosis),
          number(largestKurtosis),
        ]),
      ),
    );
  }
  print("");
  print(`Effective rank of the Gauss-Newton matrix: ${number(effectiveRank)}`);
  print("");
  print("Smallest batches that follow, in examples");
  print(
    formatTable(
      [{ title: "method" }, right("batch"), { title: "usually said" }, { title: "because" }],
      methods.map((need) => [
        need.method,
        Number.isFinite(need.batch) ? formatCount(need.batch) : "—",
        need.literature,
        need.because,
      ]),
    ),
  );
}

function showDrift(
  drift: readonly FactorDrift[],
  { optimizer, batch, refresh }: { optimizer: string; batch: number; refresh: number },
): void {
  print("");
  print(
    plain(
      `Staleness in a training by ${optimizer} with batches of ${formatCount(batch)}: change of each factor after so many updates, and the error of its average (inverted every ${refresh})`,
    ),
  );
  const gaps = drift[0]!.changes.map(({ updates }) => updates);
  const shown = [gaps[0]!, gaps[gaps.length >> 1]!, gaps.at(-1)!];
  print(
    formatTable(
      [
        { title: "factor" },
        ...shown.map((updates) => right(`${updates} updates`)),
        right("noise of one"),
        ...drift[0]!.errors.slice(0, -1).map(({ decay }) => right(`decay ${decay}`)),
        right("best decay"),
        right("its error"),
      ],
      drift.map(({ name, changes, noise: sigma, bestDecay, errors }) => [
        name,
        ...shown.map((updates) => percent(changes.find((change) => change.updates === updates)!.change)),
        percent(sigma),
        ...errors.map(({ error }) => percent(error)).toSpliced(-1, 1, bestDecay.toFixed(4)),
        percent(errors.at(-1)!.error),
      ]),
    ),
  );
}
