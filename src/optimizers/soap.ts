/**
 * SOAP: Adam in the eigenbasis of Shampoo's statistics. Vyas et al. 2024, "SOAP: improving and stabilizing Shampoo using
 * Adam". For a matrix with gradient G, along its two axes:
 *
 *     G' = Q_Lᵀ G Q_R,    M' ← β₁ M' + (1 − β₁) G',    V ← β₂ V + (1 − β₂) G'²
 *     θ ← (1 − ηλ·mask) (θ − η √(1 − β₂ˢ)/(1 − β₁ˢ) · Q_L [M'/(√V + ε)] Q_Rᵀ)
 *     L ← β L + (1 − β) GGᵀ,    R ← β R + (1 − β) GᵀG
 *     every `interval` updates  Q_L, Q_R ← one step of orthogonal iteration with L, R; V moves with the columns, and
 *                               M' = Q_LᵀM Q_R turns from the old basis into the new one
 *
 * The paper keeps M and rotates it in every step; while Q stays, the mean of what is rotated is the same.
 * The first step only collects L and R and takes their eigenvectors: θ stays, and s counts from the second one. Arrays of
 * more axes have one Q an axis; vectors, and axes longer than `largestAxis`, have Q = I, which is Adam. Where the
 * gradient is not finite a step changes nothing.
 */
import { compile, type Executable } from "../compiler/compile.js";
import { type ArrayShape, parameterCount } from "../curvature/model-shape.js";
import { argumentsOf, gradientOf, type Objective } from "../curvature/objective.js";
import type { Entry } from "../nn/parameters.js";
import type { Buffer } from "../runtime/memory.js";
import { concat, input, type Tensor, zeros } from "../tensor/tensor.js";
import { biasCorrection } from "./adam.js";
import { gramAlong, multiplyAlong } from "./axis-products.js";
import { gradients } from "./catalogue.js";
import { clipByGlobalNorm } from "./clip.js";
import { arraysOf, decayMask, every, scalars, sharedFlops, sizeOfArray, vectors } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { createEigenbasisRefresher, setIdentity } from "./eigenbasis.js";
import { innerProduct, notFinite } from "./evaluation.js";
import { defineMethod, rateOptions, scheduleOf } from "./method.js";
import type { Training } from "./optimizer.js";
import { count, decayRate, flag, notNegative, positive, positiveCount, type SettingsOf } from "./settings.js";
import { stopwatch } from "./stopwatch.js";
import { chain } from "./transform.js";

const options = {
  ...rateOptions(0.003, [0.0003, 0.01]),
  beta1: decayRate(0.95, "β₁: how much of the mean gradient is kept", {
    typical: [0.9, 0.98],
    sensitivity: "low",
  }),
  beta2: decayRate(0.95, "β₂: how much of the mean square in the eigenbasis is kept", {
    typical: [0.9, 0.999],
    sensitivity: "low",
  }),
  statisticsDecay: decayRate(0.95, "β: how much of L and R is kept", {
    typical: [0.9, 0.999],
    sensitivity: "low",
  }),
  epsilon: positive(1e-8, "ε: keeps the division finite; before the correction of V"),
  interval: positiveCount(10, "updates between refreshes of the eigenbases", {
    typical: [1, 100],
    sensitivity: "medium",
  }),
  largestAxis: count(2048, "longer axes keep Q = I"),
  vectors: flag(false, "eigenbases for arrays of one axis too"),
  weightDecay: notNegative(0.01, "λ: every update shrinks the parameters by ηλ", {
    typical: [0.001, 0.1],
    sensitivity: "low",
  }),
  decay: decayOption,
};

/** One axis that is rotated. */
interface RotatedAxis<Of extends ArrayShape = Entry> {
  readonly entry: Of;
  readonly axis: number;
  readonly extent: number;
}

const rotatedAxes = <Of extends ArrayShape>(
  entry: Of,
  { vectors, largestAxis }: SettingsOf<typeof options>,
): RotatedAxis<Of>[] =>
  entry.shape.length === 0 || (entry.shape.length === 1 && !vectors)
    ? []
    : entry.shape.flatMap((extent, axis) =>
        extent > 1 && extent <= largestAxis ? [{ entry, axis, extent }] : [],
      );

/** The vector [n] with each array multiplied by its matrices, one a rotated axis. */
function rotate(
  vector: Tensor,
  { layout }: Objective,
  axes: readonly RotatedAxis[],
  matrices: readonly Tensor[],
): Tensor {
  if (axes.length === 0) return vector;
  const parts = layout.entries.map((entry) => {
    let array = vector.slice(0, entry.offset, entry.offset + entry.size).reshape(entry.shape);
    axes.forEach((rotated, k) => {
      if (rotated.entry === entry) array = multiplyAlong(array, rotated.axis, matrices[k]!);
    });
    return array.reshape([entry.size]);
  });
  return concat(parts);
}

function start(objective: Objective, settings: SettingsOf<typeof options>): Training {
  const { runtime, dtype, layout, key } = objective;
  const { beta1, beta2, statisticsDecay: beta } = settings;
  const axes = layout.entries.flatMap((entry) => rotatedAxes(entry, settings));
  const given = argumentsOf(objective);
  const theta = given.parameters;
  const counter = runtime.buffer("i32", []);
  const [meanBuffer, squareBuffer] = [0, 1].map(() => runtime.buffer(dtype, [layout.size])) as [
    Buffer,
    Buffer,
  ];
  const statistics = axes.map(({ extent }) => runtime.buffer(dtype, [extent, extent]));
  const bases = axes.map(({ extent }) => runtime.buffer(dtype, [extent, extent]));
  bases.forEach(setIdentity);
  const done = input("step", counter);
  const [mean0, square0] = [input("mean", meanBuffer), input("square", squareBuffer)];
  const S0 = statistics.map((buffer) => input("statistics", buffer));
  const Q = bases.map((buffer) => input("basis", buffer));

  const traced = objective.trace(theta, given.batch, given.state, given.key);
  const raw = gradientOf(traced.loss, theta);
  const context = { dtype, layout, parameters: theta, gradient: raw, step: done.cast(dtype) };
  const clip = settings.clipNorm > 0 ? clipByGlobalNorm(settings.clipNorm) : undefined;
  const gradient = chain(clip).update(raw, {}, context).direction;
  const norm = innerProduct(raw, raw).sqrt();
  const finite = norm.lt(Number.POSITIVE_INFINITY).and(traced.loss.abs().lt(Number.POSITIVE_INFINITY));
  const moves = finite.and(done.gt(0));

  const turned = rotate(gradient, objective, axes, Q);
  const mean = mean0.mul(beta1).add(turned.mul(1 - beta1));
  const square = square0.mul(beta2).add(turned.square().mul(1 - beta2));
  const corrected = biasCorrection(beta2, context.step).sqrt().div(biasCorrection(beta1, context.step));
  const rate = scheduleOf("soap", settings)(done.sub(1).max(0).cast(dtype));
  const Qt = Q.map((basis) => basis.transpose());
  const direction = rotate(mean.div(square.sqrt().add(settings.epsilon)), objective, axes, Qt);
  const stepped = theta.sub(direction.mul(corrected.mul(rate)));
  const decay = decoupledDecay(settings.weightDecay, masks[settings.decay]);
  const penalty = decay.update(
    zeros([layout.size], dtype),
    {},
    { ...context, parameters: stepped },
  ).direction;
  const S = axes.map(({ entry, axis }, k) => {
    const array = gradient.slice(0, entry.offset, entry.offset + entry.size).reshape(entry.shape);
    return S0[k]!.mul(beta).add(gramAlong(array, axis).mul(1 - beta));
  });

  const own = [counter, meanBuffer, squareBuffer, ...statistics];
  const kept = [objective.parameters, ...(objective.state ? [objective.state] : []), ...own];
  const executable = compile(
    runtime,
    {
      inputs: [...given.inputs, done, mean0, square0, ...S0, ...Q],
      outputs: [
        moves.select(stepped.sub(penalty.mul(rate)), theta),
        ...(traced.state ? [finite.select(traced.state, given.state!)] : []),
        finite.select(done.add(1), done),
        moves.select(mean, mean0),
        moves.select(square, square0),
        ...S.map((next, k) => finite.select(next, S0[k]!)),
        traced.loss,
        rate,
        norm,
      ],
    },
    { inputs: [...given.buffers, ...own, ...bases], outputs: kept },
  );
  const [lossOut, rateOut, normOut] = executable.outputs.slice(kept.length) as [Buffer, Buffer, Buffer];
  /** M' in the parameters' coordinates, and back in those of Q. */
  const [leave, enter] = [Qt, Q].map((matrices) =>
    compile(
      runtime,
      { inputs: [mean0, ...Q], outputs: [rotate(mean0, objective, axes, matrices)] },
      { inputs: [meanBuffer, ...bases], outputs: [meanBuffer] },
    ),
  ) as [Executable, Executable];
  const watch = stopwatch(runtime.clock);
  const largest = Math.max(1, ...axes.map(({ extent }) => extent));
  const refresher = createEigenbasisRefresher(runtime, dtype, largest);
  const order = new Uint32Array(largest);
  const before = runtime.buffer(dtype, [Math.max(1, ...axes.map(({ entry }) => entry.size))]);

  /** V's slices along the axis in the order of Q's columns. */
  const reorder = ({ entry, axis, extent }: RotatedAxis) => {
    const inner = entry.shape.slice(axis + 1).reduce((product, n) => product * n, 1);
    const [from, to] = [before.data, squareBuffer.data.subarray(entry.offset, entry.offset + entry.size)];
    from.set(to);
    for (let at = 0; at < entry.size; at += extent * inner)
      for (let j = 0; j < extent; j++)
        for (let k = 0; k < inner; k++) to[at + j * inner + k] = from[at + order[j]! * inner + k]!;
  };
  /** New eigenbases, where they are due: how many could not be had. */
  const refresh = (s: number): number | undefined => {
    if (s % settings.interval !== 0) return undefined;
    let failed = 0;
    leave.run();
    axes.forEach((rotated, k) => {
      if (s === 0) failed += Number(!refresher.decompose(statistics[k]!, bases[k]!));
      else if (refresher.iterate(statistics[k]!, bases[k]!, order)) reorder(rotated);
      else failed++;
    });
    enter.run();
    return failed;
  };
  const named = (part: string, buffers: readonly Buffer[]) =>
    axes.map(({ entry, axis }, k) => [`${part}.${entry.name}.${axis}`, buffers[k]!] as const);

  return {
    state: {
      step: counter,
      mean: meanBuffer,
      square: squareBuffer,
      ...Object.fromEntries([...named("statistics", statistics), ...named("basis", bases)]),
    },
    coverage: layout.entries.map((entry) => {
      const own = axes.filter((rotated) => rotated.entry === entry);
      const matrices = own.map((rotated) => bases[axes.indexOf(rotated)]!);
      const unrotated = entry.shape.length - own.length;
      return {
        name: entry.name,
        size: entry.size,
        treatment: own.length > 0 ? "Adam in an eigenbasis" : "Adam",
        orders: own.map(({ extent }) => extent),
        bytes: 2 * matrices.reduce((sum, { data }) => sum + data.byteLength, 0),
        reason:
          entry.shape.length < 2 && !settings.vectors
            ? "fewer than two axes"
            : unrotated > 0
              ? `${unrotated} of ${entry.shape.length} axes are 1 or above largestAxis`
              : `${entry.shape.length} axes`,
      };
    }),
    step() {
      const counted = counter.data[0]!;
      // What dropout draws depends on the seed and on the number of the update only.
      key.data[1] = counted;
      executable.run();
      const accepted = counter.data[0]! > counted;
      watch.start();
      const kept = accepted ? refresh(counted) : undefined;
      if (kept !== undefined) watch.lap("inversion");
      return {
        loss: lossOut.data[0]!,
        learningRate: rateOut.data[0]!,
        gradientNorm: normOut.data[0]!,
        finite: accepted,
        evaluations: { gradients: 1 },
        diagnostics: {
          accepted: accepted && counted > 0,
          ...(!accepted && notFinite),
          refreshed: kept !== undefined,
          ...(kept && { basesKept: kept, fallback: "eigenbases could not be had and stay as they were" }),
        },
        seconds: watch.seconds,
      };
    },
    release() {
      for (const part of [executable, leave, enter, refresher]) part.release();
      for (const buffer of [...own, ...bases, before]) buffer.release();
    },
  };
}

/** @example soap.create({ learningRate: 0.003, interval: 10, largestAxis: 1024 }).start(objective).step(); */
export const soap = defineMethod(
  {
    name: "soap",
    family: "matrix preconditioner",
    description:
      "Adam in the eigenbasis of the gradients' second moments: fewer steps than Adam for matrices, at a few products more each.",
    reference: "Vyas et al. 2024, SOAP: improving and stabilizing Shampoo using Adam",
    asks: gradients,
    treats: [
      { arrays: "two or more axes", how: "Adam in an eigenbasis of each axis, up to largestAxis" },
      { arrays: "vectors and scalars", how: "Adam" },
    ],
    costs(shape, s) {
      const n = parameterCount(shape);
      const axes = arraysOf(shape).flatMap((array) => rotatedAxes(array, s));
      const sum = (of: (axis: RotatedAxis<ArrayShape>) => number) =>
        axes.reduce((all, axis) => all + of(axis), 0);
      const squares = sum(({ extent }) => extent ** 2);
      const product = sum(({ entry, extent }) => 2 * sizeOfArray(entry) * extent);
      const each = 19 + sharedFlops(s);
      return {
        state: [
          ...vectors("moments", 2, n),
          { part: "factors", formula: "Σ axis²", elements: squares },
          { part: "bases", formula: "Σ axis²", elements: squares },
          scalars(),
        ],
        workspace: decayMask(s, shape),
        work: [
          { part: "curvature", formula: "2 Σ size·axis + 4 Σ axis²", flops: product + 4 * squares },
          {
            part: "inversion",
            formula: every(s.interval, "14/3 Σ axis³"),
            flops: sum(({ extent }) => (14 / 3) * extent ** 3) / s.interval,
          },
          {
            part: "update",
            formula: `4 Σ size·axis + ${every(s.interval, "4 Σ size·axis")} + ${each}n`,
            flops: 2 * product * (1 + 1 / s.interval) + each * n,
          },
        ],
        evaluations: { gradients: 1 },
      };
    },
    options,
  },
  (settings) => {
    scheduleOf("soap", settings);
    return { name: "soap", settings, start: (objective) => start(objective, settings) };
  },
);
