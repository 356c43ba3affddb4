/**
 * Loss and gradient with factors, in ONE program: the factors share the forward pass, and "empirical" ones the
 * backward pass. A second program without factors serves the steps between estimates.
 *
 *     F ← β F + (1 − β) F_batch,   β = ρ(1 − ρᵗ⁻¹)/(1 − ρᵗ)    for the t-th estimate
 *
 * keeps the bias-corrected average itself: the weights ρᵗ⁻ˢ of the estimates always sum to 1. An estimate that is not
 * finite leaves the average as it was; an average that is not begins anew. Begun with I, β = ρ.
 */
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
import { type Arguments, argumentsOf, gradientOf, type Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { full, input, type Tensor } from "../../tensor/tensor.js";
import { innerProduct, type Point } from "../evaluation.js";
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

export interface FactorEvaluation {
  readonly gradient: Buffer;
  /** Loss and gradient at θ. */
  run(): Point;
  /** The same, and β·average + (1 − β)·estimate. `finite` says whether the estimate was; else nothing moved. */
  estimate(beta: number): Point & { readonly factorsFinite: boolean };
  /** What the preconditioner observes only, on the present batch; undefined where it observes nothing. */
  readonly observe: (() => void) | undefined;
  /** The model's state becomes what the last evaluation made of it. */
  keepState(): void;
  release(): void;
}

const finiteNumber = (x: Tensor) => x.abs().lt(Number.POSITIVE_INFINITY);

/** Whether all of a factor is: F is a sum of x xᵀ, so that an x that is not finite shows on the diagonal. */
function finiteFactor(factor: Tensor): Tensor {
  const [n, columns] = factor.shape as [number, number?];
  const diagonal = n === columns ? factor.reshape([n * n]).slice(0, 0, n * n, n + 1) : factor;
  return finiteNumber(diagonal.sum());
}

export function compileFactorEvaluation(
  objective: Objective,
  { factors, cross }: RunningFactors,
  preconditioner: Preconditioner,
  options: FactorOptions,
): FactorEvaluation {
  const { runtime, dtype, layout, state } = objective;
  const gradient = runtime.buffer(dtype, [layout.size]);
  const evaluate = (given: Arguments) => {
    const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
    const g = gradientOf(traced.loss, given.parameters);
    const outputs = [g, traced.loss, innerProduct(g, g), ...(traced.state ? [traced.state] : [])];
    return { traced, outputs };
  };

  const plainArguments = argumentsOf(objective);
  const plain = compile(
    runtime,
    { inputs: plainArguments.inputs, outputs: evaluate(plainArguments).outputs },
    { inputs: plainArguments.buffers, outputs: [gradient] },
  );

  const own = Object.values(preconditioner.state);
  const averages = [...factors, ...cross].flat();
  /** The program of an estimate: of everything, or of what the preconditioner observes only. */
  const compileEstimate = (everything: boolean) => {
    const given = argumentsOf(objective);
    const beta = input("beta", { dtype, shape: [] });
    const before = averages.map((buffer) => input("factor", buffer));
    const symbols = preconditioner.symbols();
    const { traced, outputs } = evaluate(given);
    const tracedFactors = traceFactors(traced, given.parameters, layout, given.key, options);
    const fresh = everything ? [...tracedFactors.factors, ...tracedFactors.cross].flat() : [];
    const observed = [...preconditioner.observe(symbols, tracedFactors)];
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
    const kept = everything ? outputs : [];
    return compile(
      runtime,
      {
        inputs: [...given.inputs, beta, ...before, ...symbols],
        outputs: [flagged, ...after, ...moments, ...kept],
      },
      {
        inputs: [...given.buffers, undefined, ...averages, ...own],
        outputs: [
          undefined,
          ...(everything ? averages : []),
          ...observed.map(([index]) => own[index]),
          ...(everything ? [gradient] : []),
        ],
      },
    );
  };
  const estimating = compileEstimate(true);
  const betaBuffer = estimating.inputs[plainArguments.inputs.length]!;
  const evaluated = estimating.outputs.slice(-plain.outputs.length);
  const observes = estimating.outputs.length > 1 + averages.length + plain.outputs.length;
  const observing = observes ? compileEstimate(false) : undefined;

  let latest: readonly Buffer[] = plain.outputs;
  const point = (outputs: readonly Buffer[]): Point => {
    latest = outputs;
    const loss = outputs[1]!.data[0]!;
    const gradientNorm = Math.sqrt(outputs[2]!.data[0]!);
    return { loss, gradientNorm, finite: Number.isFinite(loss) && Number.isFinite(gradientNorm) };
  };
  return {
    gradient,
    run() {
      plain.run();
      return point(plain.outputs);
    },
    estimate(beta) {
      betaBuffer.data[0] = beta;
      estimating.run();
      return { ...point(evaluated), factorsFinite: estimating.outputs[0]!.data[0] === 1 };
    },
    observe: observing?.run,
    keepState() {
      const after = latest[3];
      if (after) state!.data.set(after.data);
    },
    release() {
      for (const part of [plain, estimating, gradient]) part.release();
      observing?.release();
    },
  };
}
