/**
 * Loss, gradient and statistics. As in the paper they are of the gradient and come in the same program as it; sequential
 * ones of axis i wait for the new roots of the axes before it, a program an axis.
 */
import { compile } from "../../compiler/compile.js";
import { argumentsOf, gradientOf, type Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { input, type Tensor } from "../../tensor/tensor.js";
import { gramAlong, multiplyAlong } from "../axis-products.js";
import { cut } from "../blocking.js";
import { clipByGlobalNorm } from "../clip.js";
import { innerProduct } from "../evaluation.js";
import { chain } from "../transform.js";
import { type AxisFactor, arrayOf, type Factors } from "./factors.js";
import type { ShampooSettings } from "./settings.js";

/** What is done before an update: statistics where they wait for roots, then the roots of these factors. */
export interface Round {
  observe?(): void;
  readonly factors: readonly AxisFactor[];
}

export interface Statistics {
  /** Clipped, [n]. */
  readonly gradient: Buffer;
  evaluate(): { readonly loss: number; readonly gradientNorm: number };
  /** In order. */
  readonly rounds: readonly Round[];
  release(): void;
}

export function compileStatistics(
  objective: Objective,
  factors: Factors,
  counter: Buffer,
  settings: ShampooSettings,
): Statistics {
  const sequential = settings.variant === "sequential";
  const { runtime, dtype, layout } = objective;
  const gradient = runtime.buffer(dtype, [layout.size]);
  const evaluation = compileEvaluation(
    objective,
    gradient,
    sequential ? [] : factors.axes,
    counter,
    settings,
  );
  const rank = Math.max(0, ...factors.axes.map(({ axis }) => axis + 1));
  const programs = Array.from({ length: sequential ? rank : 0 }, (_, axis) =>
    compileAxis(objective, gradient, factors, axis, settings),
  );
  return {
    gradient,
    evaluate: evaluation.run,
    rounds: sequential
      ? programs.map((program, axis) => ({
          observe: () => program.run(),
          factors: factors.axes.filter((factor) => factor.axis === axis),
        }))
      : [{ factors: factors.axes }],
    release() {
      for (const part of [gradient, evaluation, ...programs]) part.release();
    },
  };
}

/** β₂ L + (1 − β₂) GGᵀ, or the sum. */
const averaged = (before: Tensor, gram: Tensor, { beta2 }: ShampooSettings): Tensor =>
  beta2 === 1 ? before.add(gram) : before.mul(beta2).add(gram.mul(1 - beta2));

/** Loss and gradient, with the statistics of these factors. What is not finite moves nothing. */
function compileEvaluation(
  objective: Objective,
  gradient: Buffer,
  factors: readonly AxisFactor[],
  counter: Buffer,
  settings: ShampooSettings,
) {
  const { runtime, dtype, layout } = objective;
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const raw = gradientOf(traced.loss, given.parameters);
  const norm = innerProduct(raw, raw).sqrt();
  const finite = norm.lt(Number.POSITIVE_INFINITY).and(traced.loss.abs().lt(Number.POSITIVE_INFINITY));
  const clip = settings.clipNorm > 0 ? clipByGlobalNorm(settings.clipNorm) : undefined;
  const step = input("step", counter).cast(dtype);
  const { direction: clipped } = chain(clip).update(
    raw,
    {},
    { dtype, layout, parameters: given.parameters, gradient: raw, step },
  );
  const statistics = factors.map((factor) => factor.statistics);
  const before = statistics.map((buffer) => input("statistics", buffer));
  const kept = [gradient, ...(objective.state ? [objective.state] : []), ...statistics];
  const executable = compile(
    runtime,
    {
      inputs: [...given.inputs, ...before],
      outputs: [
        clipped,
        ...(traced.state ? [finite.select(traced.state, given.state!)] : []),
        ...factors.map(({ entry, block, axis }, k) => {
          const gram = gramAlong(cut(arrayOf(clipped, entry), block), axis);
          return finite.select(averaged(before[k]!, gram, settings), before[k]!);
        }),
        traced.loss,
        norm,
      ],
    },
    { inputs: [...given.buffers, ...statistics], outputs: kept },
  );
  const [loss, gradientNorm] = executable.outputs.slice(kept.length) as [Buffer, Buffer];
  return {
    run() {
      executable.run();
      return { loss: loss.data[0]!, gradientNorm: gradientNorm.data[0]! };
    },
    release: executable.release,
  };
}

/** The statistics of one axis of all arrays, of the gradient that the roots of the axes before it have turned. */
function compileAxis(
  { runtime }: Objective,
  gradientBuffer: Buffer,
  { axes }: Factors,
  axis: number,
  settings: ShampooSettings,
) {
  const own = axes.filter((factor) => factor.axis === axis);
  const earlier = axes.filter((factor) => factor.axis < axis);
  const gradient = input("gradient", gradientBuffer);
  const statistics = own.map((factor) => input("statistics", factor.statistics));
  const roots = earlier.map((factor) => input("root", factor.root));
  const turned = ({ entry, block }: AxisFactor) =>
    earlier.reduce(
      (array, factor, k) => (factor.block === block ? multiplyAlong(array, factor.axis, roots[k]!) : array),
      cut(arrayOf(gradient, entry), block),
    );
  return compile(
    runtime,
    {
      inputs: [gradient, ...statistics, ...roots],
      outputs: own.map((factor, k) => averaged(statistics[k]!, gramAlong(turned(factor), axis), settings)),
    },
    {
      inputs: [gradientBuffer, ...own.map((factor) => factor.statistics), ...earlier.map(({ root }) => root)],
      outputs: own.map((factor) => factor.statistics),
    },
  );
}
