/** The numbers of a comparison as rows of tables, for CSV and JSON. */
import type { Comparison } from "./comparison.js";
import { alignedBarrier, barrierOf, type Metrics, metricOf } from "./findings.js";
import type { Performance } from "./measured.js";

const prefixed = (data: keyof Performance, values: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(values).map(([metric, value]) => [`${data} ${metric}`, value]));

export const solutionRows = ({ solutions }: Comparison) =>
  solutions.flatMap(({ subject, solution }) =>
    solution
      ? [
          {
            optimizer: subject.label,
            seed: subject.seed,
            batch: subject.batch,
            steps: subject.steps,
            ...prefixed("train", solution.train),
            ...prefixed("test", solution.test),
            batchLoss: solution.batchLoss,
            gradientNorm: solution.gradientNorm,
            largestEigenvalue: solution.eigenvalues[0],
            smallestEigenvalue: solution.smallest,
            trace: solution.trace.value,
            traceError: solution.trace.standardError,
            sharpnessFirst: solution.sharpness.first,
            sharpness: solution.sharpness.most,
            adaptiveSharpnessFirst: solution.adaptive.first,
            adaptiveSharpness: solution.adaptive.most,
            norm: solution.norm,
            moved: solution.moved,
          },
        ]
      : [],
  );

const endsOf = ({ settings: { subjects } }: Comparison, { from, to }: Comparison["lines"][number]) => ({
  from: subjects[from]!.label,
  fromSeed: subjects[from]!.seed,
  to: subjects[to]!.label,
  toSeed: subjects[to]!.seed,
});

export const lineRows = (comparison: Comparison, metrics: Metrics) =>
  comparison.lines.flatMap((pair) => {
    const { line } = pair;
    if (!line) return [];
    const metric = metricOf(metrics);
    return [
      {
        ...endsOf(comparison, pair),
        distance: line.distance,
        cosine: line.cosine,
        barrierTrainLoss: barrierOf(line, "train", "loss", metrics),
        barrierTrainLossAligned: alignedBarrier(line, metrics),
        barrierTestLoss: barrierOf(line, "test", "loss", metrics),
        ...(metric && { [`barrier test ${metric}`]: barrierOf(line, "test", metric, metrics) }),
      },
    ];
  });

export const pointRows = (comparison: Comparison) =>
  comparison.lines.flatMap((pair) =>
    [
      ...(pair.line?.points ?? []).map((point, k) => ({ ...point, k, aligned: false })),
      ...(pair.line?.aligned?.points ?? []).map((point, k) => ({ ...point, k, aligned: true })),
    ].map(({ train, test, k, aligned }) => ({
      ...endsOf(comparison, pair),
      aligned,
      share: k / (comparison.settings.points - 1),
      ...prefixed("train", train),
      ...prefixed("test", test),
    })),
  );

export const spectrumRows = ({ solutions }: Comparison) =>
  solutions.flatMap(({ subject, solution }) =>
    (solution?.spectrum.nodes ?? []).map((node, k) => ({
      optimizer: subject.label,
      seed: subject.seed,
      eigenvalue: node,
      share: solution!.spectrum.weights[k],
    })),
  );
