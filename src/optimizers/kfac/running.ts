/** Running averages of the factors of every block, and how they are estimated. */
import { compile } from "../../compiler/compile.js";
import {
  type BlockUses,
  blocksOf,
  crossShapes,
  type FactorOptions,
  factorShapes,
  type Link,
  linksOf,
  needCurvature,
  type Structure,
  traceFactors,
} from "../../curvature/kronecker/index.js";
import { type Arguments, argumentsOf, type Objective, type TracedLoss } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { full, input, type Tensor } from "../../tensor/tensor.js";
import type { Preconditioner } from "./preconditioner.js";

export interface RunningFactors {
  readonly blocks: readonly BlockUses[];
  readonly factors: readonly (readonly Buffer[])[];
  readonly links: readonly Link[];
  /** A× and G× of each link. */
  readonly cross: readonly (readonly Buffer[])[];
  readonly state: Readonly<Record<string, Buffer>>;
  release(): void;
}

/** A and G of the first term, A2 and G2 of the second. */
const sideOf = (index: number): string =>
  `${index % 2 === 0 ? "A" : "G"}${index < 2 ? "" : Math.floor(index / 2) + 1}`;

/** Buffers for the averages of all factors, which begin as zero or as I. */
export function runningFactors(
  objective: Objective,
  structure: Structure,
  start: "zero" | "identity" = "zero",
): RunningFactors {
  const { runtime, dtype } = objective;
  const { parameters, batch, state, key } = argumentsOf(objective);
  const curvature = needCurvature(objective.trace(parameters, batch, state, key));
  const blocks = blocksOf(curvature, parameters, objective.layout);
  const factors = blocks.map((block) => factorShapes(block).map((shape) => runtime.buffer(dtype, shape)));
  const links = linksOf(blocks, structure);
  const cross = links.map(({ from, to }) =>
    crossShapes(blocks[from]!, blocks[to]!).map((shape) => runtime.buffer(dtype, shape)),
  );
  if (start === "identity")
    for (const { data, shape } of factors.flat()) {
      const step = shape.length === 2 ? shape[0]! + 1 : 1;
      for (let k = 0; k < data.length; k += step) data[k] = 1;
    }
  const named = (part: string, k: number, buffers: readonly Buffer[]) =>
    buffers.map((buffer, index) => {
      const name = `${part}.${blocks[k]!.parameters[0]!.name}.${sideOf(index)}`;
      return [name, buffer] as const;
    });
  return {
    blocks,
    factors,
    links,
    cross,
    state: Object.fromEntries([
      ...blocks.flatMap((_, k) => named("factor", k, factors[k]!)),
      ...links.flatMap(({ from }, k) => named("cross", from, cross[k]!)),
    ]),
    release() {
      for (const buffer of [...factors, ...cross].flat()) buffer.release();
    },
  };
}

export interface FactorEstimate {
  /**
   * F ← β F + (1 − β) F_batch on the present batch. Whether the estimate was finite; else nothing moved. An average
   * that is not finite begins anew.
   */
  run(beta: number): boolean;
  /** Whether the observer keeps anything of it. */
  readonly observes: boolean;
  /** What was computed beside, of the last `run`. */
  readonly beside: readonly Buffer[];
  release(): void;
}

export interface EstimateParts {
  /** Whether the averages move; default true. */
  readonly averages?: boolean;
  /** Whose observations of every estimate are kept too. */
  readonly observer?: Preconditioner;
  /** Computed of the same forward pass, and where it goes. */
  readonly beside?: {
    outputs(traced: TracedLoss, given: Arguments): readonly Tensor[];
    readonly buffers: readonly Buffer[];
  };
}

const finiteNumber = (x: Tensor) => x.abs().lt(Number.POSITIVE_INFINITY);

/** Whether all of a factor is: F is a sum of x xᵀ, so that an x that is not finite shows on the diagonal. */
function finiteFactor(factor: Tensor): Tensor {
  const [n, columns] = factor.shape as [number, number?];
  const diagonal = n === columns ? factor.reshape([n * n]).slice(0, 0, n * n, n + 1) : factor;
  return finiteNumber(diagonal.sum());
}

/**
 * The program of an estimate.
 *
 *     compileFactorEstimate(objective, runningFactors(objective, "blockDiagonal"), {}).run(0)
 */
export function compileFactorEstimate(
  objective: Objective,
  { factors, cross }: RunningFactors,
  options: FactorOptions,
  { averages = true, observer, beside }: EstimateParts = {},
): FactorEstimate {
  const { runtime, dtype, layout } = objective;
  const given = argumentsOf(objective);
  const own = Object.values(observer?.state ?? {});
  const kept = [...factors, ...cross].flat();
  const beta = input("beta", { dtype, shape: [] });
  const before = kept.map((buffer) => input("factor", buffer));
  const symbols = observer?.symbols() ?? [];
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const outputs = beside?.outputs(traced, given) ?? [];
  const tracedFactors = traceFactors(traced, given.parameters, layout, given.key, options);
  const fresh = averages ? [...tracedFactors.factors, ...tracedFactors.cross].flat() : [];
  const observed = [...(observer?.observe(symbols, tracedFactors) ?? [])];
  const finite = [
    ...fresh.map(finiteFactor),
    ...observed.map(([, tensor]) => finiteNumber(tensor.sum())),
  ].reduce((all, each) => all.and(each), finiteNumber(traced.loss));
  const after = fresh.map((factor, k) => {
    const average = before[k]!.mul(beta).add(factor.mul(beta.neg().add(1)));
    return finite.select(finiteFactor(before[k]!).select(average, factor), before[k]!);
  });
  const moments = observed.map(([index, tensor]) => finite.select(tensor, symbols[index]!));
  const flagged = finite.select(full({ dtype, shape: [] }, 1), 0);
  const executable = compile(
    runtime,
    {
      inputs: [...given.inputs, beta, ...before, ...symbols],
      outputs: [flagged, ...after, ...moments, ...outputs],
    },
    {
      inputs: [...given.buffers, undefined, ...kept, ...own],
      outputs: [
        undefined,
        ...(averages ? kept : []),
        ...observed.map(([index]) => own[index]),
        ...(beside?.buffers ?? []),
      ],
    },
  );
  const betaBuffer = executable.inputs[given.inputs.length]!;
  return {
    run(value) {
      betaBuffer.data[0] = value;
      executable.run();
      return executable.outputs[0]!.data[0] === 1;
    },
    observes: observed.length > 0,
    beside: executable.outputs.slice(executable.outputs.length - outputs.length),
    release: executable.release,
  };
}
