/**
 * Shampoo: one preconditioner an axis. Gupta, Koren, Singer 2018, "Shampoo: preconditioned stochastic tensor
 * optimization"; blocks, grafting and roots after Anil et al. 2020, "Scalable second order optimization for deep learning".
 * For an array of k axes, or each of its blocks, with gradient G:
 *
 *     Lᵢ ← β₂ Lᵢ + (1 − β₂) Gᵢ Gᵢᵀ    Gᵢ: the vectors along axis i in columns; β₂ = 1: Lᵢ ← Lᵢ + Gᵢ Gᵢᵀ
 *     Pᵢ ← (Lᵢ/(1 − β₂ᵗ) + εI)^(−1/p),  p = 2k,    every `interval` updates
 *     M ← β₁ M + (1 − β₁) G,    D = M/(1 − β₁ᵗ) ×₁ P₁ … ×ₖ Pₖ, with the norm of the grafted method's step
 *     b ← μ b + D + λ·mask·θ,    θ ← θ − η b
 *
 * variant sequential: Gᵢ is the gradient that the axes before i have preconditioned with their new roots, and p = k, as in
 * pytorch_optimizer; neither is the paper's.
 *
 * Until `start` updates are done there are no roots, and the step is the grafted method's; so is that of arrays of one
 * axis, whose matrix costs more than what it multiplies (Anil et al. call it skip_preconditioning_rank_lt = 2), unless
 * `vectors` is set or there is no grafted method. Where the gradient is not finite a step changes nothing.
 */
import { compile } from "../compiler/compile.js";
import { type ArrayShape, parameterCount } from "../curvature/model-shape.js";
import { argumentsOf, gradientOf, type Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import { concat, input, type Tensor } from "../tensor/tensor.js";
import { biasCorrection } from "./adam.js";
import { gramAlong, multiplyAlong } from "./axis-products.js";
import { blocksOf, cut, join } from "./blocking.js";
import { gradients } from "./catalogue.js";
import { clipByGlobalNorm } from "./clip.js";
import { arraysOf, decayMask, every, scalars, sharedFlops, sizeOfArray, vectors } from "./costs.js";
import { decayOption, decoupledDecay, masks } from "./decay.js";
import { setIdentity } from "./eigenbasis.js";
import { innerProduct, notFinite } from "./evaluation.js";
import { graftedStep, withNormsOf } from "./grafting.js";
import { createRooter } from "./matrix-root.js";
import { defineMethod, rateOptions, scheduleOf } from "./method.js";
import { traceMomentum } from "./momentum.js";
import type { Training } from "./optimizer.js";
import {
  choice,
  count,
  decayRate,
  flag,
  fraction,
  notNegative,
  positive,
  positiveCount,
  type SettingsOf,
} from "./settings.js";
import { stopwatch } from "./stopwatch.js";
import { chain, type Transform, zeroVector } from "./transform.js";

const options = {
  ...rateOptions(0.001, [0.0003, 0.01]),
  beta1: decayRate(0.9, "β₁: how much of the mean gradient is kept", {
    typical: [0.8, 0.98],
    sensitivity: "low",
  }),
  beta2: fraction(0.999, "β₂: how much of the statistics is kept; 1 for their sum", {
    typical: [0.9, 0.9999],
    sensitivity: "medium",
  }),
  epsilon: positive(1e-10, "ε: added to the statistics", { typical: [1e-12, 1e-6], sensitivity: "medium" }),
  momentum: decayRate(0, "μ: how much of the last step is kept"),
  graft: choice("adam", ["none", "sgd", "adagrad", "rmsprop", "adam"], "whose length steps have"),
  graftBeta2: decayRate(0.999, "β₂ of the grafted method", { typical: [0.9, 0.9999], sensitivity: "low" }),
  graftEpsilon: positive(1e-8, "ε of the grafted method"),
  blockSize: positiveCount(256, "longer axes are cut into blocks of this many", {
    typical: [64, 2048],
    sensitivity: "low",
  }),
  vectors: flag(
    false,
    "a preconditioner for arrays of one axis too (the paper), not the grafted method's step",
  ),
  variant: choice(
    "paper",
    ["paper", "sequential"],
    "statistics of the gradient, or, axis after axis, of what the axes before have preconditioned (pytorch_optimizer's)",
  ),
  exponent: count(
    0,
    "p of the inverse p-th roots; 0 for twice the number of axes (sequential: the number of axes)",
  ),
  root: choice("eigen", ["eigen", "newton"], "how roots are taken: by eigenvectors, or products only"),
  interval: positiveCount(10, "updates between roots", { typical: [1, 100], sensitivity: "medium" }),
  start: count(0, "updates of the grafted method before the first roots"),
  weightDecay: notNegative(0, "λ: adds λθ to the step, before the momentum", {
    typical: [0.0001, 0.1],
    sensitivity: "low",
  }),
  decay: decayOption,
};
type Settings = SettingsOf<typeof options>;

/** d ← the bias-corrected average of d. State: `mean` [n]. */
const correctedMean = (beta: number): Transform => ({
  name: "mean",
  init: (spec) => (beta > 0 ? { mean: zeroVector(spec) } : {}),
  update(direction, state, { step }) {
    if (beta === 0) return { direction, state: {} };
    const mean = state.mean!.mul(beta).add(direction.mul(1 - beta));
    return { direction: mean.mul(biasCorrection(beta, step).reciprocal()), state: { mean } };
  },
});

/** Whether an array has preconditioners. */
const hasRoots = ({ shape }: Pick<ArrayShape, "shape">, { vectors, graft }: Settings): boolean =>
  shape.length >= (vectors || graft === "none" ? 1 : 2);

const usualExponent = ({ variant }: Settings, axes: number): number =>
  variant === "paper" ? 2 * axes : axes;

function start(objective: Objective, settings: Settings): Training {
  const { runtime, dtype, layout, key } = objective;
  const { beta2, blockSize } = settings;
  const blocks = layout.entries.flatMap((entry) =>
    hasRoots(entry, settings)
      ? blocksOf(entry.shape, blockSize).map((block, k) => ({ entry, block, name: `${entry.name}.${k}` }))
      : [],
  );
  const factors = blocks.flatMap(({ entry, block, name }) =>
    block.map(([from, to], axis) => {
      const [statistics, root] = [0, 1].map(() => runtime.buffer(dtype, [to - from, to - from])) as [
        Buffer,
        Buffer,
      ];
      setIdentity(root);
      const p = settings.exponent || usualExponent(settings, entry.shape.length);
      return { entry, block, axis, name: `${name}.${axis}`, statistics, root, p };
    }),
  );
  const partOf = (vector: Tensor, { offset, size, shape }: (typeof blocks)[0]["entry"]) =>
    vector.slice(0, offset, offset + size).reshape(shape);
  const statistics = factors.map((factor) => factor.statistics);
  const counter = runtime.buffer("i32", []);
  const gradientBuffer = runtime.buffer(dtype, [layout.size]);

  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const raw = gradientOf(traced.loss, given.parameters);
  const norm = innerProduct(raw, raw).sqrt();
  const finite = norm.lt(Number.POSITIVE_INFINITY).and(traced.loss.abs().lt(Number.POSITIVE_INFINITY));
  const done = input("step", counter);
  const clip = settings.clipNorm > 0 ? clipByGlobalNorm(settings.clipNorm) : undefined;
  const clipped = chain(clip).update(
    raw,
    {},
    { dtype, layout, parameters: given.parameters, gradient: raw, step: done.cast(dtype) },
  ).direction;
  const averaged = (before: Tensor, gram: Tensor) =>
    beta2 === 1 ? before.add(gram) : before.mul(beta2).add(gram.mul(1 - beta2));
  const sequential = settings.variant === "sequential";
  const L = sequential ? [] : statistics.map((buffer) => input("statistics", buffer));
  const kept = [
    gradientBuffer,
    ...(objective.state ? [objective.state] : []),
    ...(sequential ? [] : statistics),
  ];
  const evaluation = compile(
    runtime,
    {
      inputs: [...given.inputs, ...L],
      outputs: [
        clipped,
        ...(traced.state ? [finite.select(traced.state, given.state!)] : []),
        ...L.map((before, k) => {
          const { entry, block, axis } = factors[k]!;
          const gram = gramAlong(cut(partOf(clipped, entry), block), axis);
          return finite.select(averaged(before, gram), before);
        }),
        traced.loss,
        norm,
      ],
    },
    { inputs: [...given.buffers, ...(sequential ? [] : statistics)], outputs: kept },
  );
  const [lossOut, normOut] = evaluation.outputs.slice(kept.length) as [Buffer, Buffer];

  const theta = input("parameters", objective.parameters);
  const gradient = input("gradient", gradientBuffer);
  /** The statistics of one axis of all arrays, by the roots of the axes before it; sequential only. */
  const compileAxis = (axis: number) => {
    const own = factors.filter((factor) => factor.axis === axis);
    const earlier = factors.filter((factor) => factor.axis < axis);
    const [S, roots] = [own, earlier].map((list, k) =>
      list.map((factor) => input("axis", k === 0 ? factor.statistics : factor.root)),
    ) as [Tensor[], Tensor[]];
    const turned = ({ entry, block }: (typeof factors)[0]) =>
      earlier.reduce(
        (array, factor, k) => (factor.block === block ? multiplyAlong(array, factor.axis, roots[k]!) : array),
        cut(partOf(gradient, entry), block),
      );
    const program = {
      inputs: [gradient, ...S, ...roots],
      outputs: own.map((factor, k) => averaged(S[k]!, gramAlong(turned(factor), axis))),
    };
    return compile(runtime, program, {
      inputs: [gradientBuffer, ...own.map((factor) => factor.statistics), ...earlier.map(({ root }) => root)],
      outputs: own.map((factor) => factor.statistics),
    });
  };
  const rank = Math.max(0, ...factors.map(({ axis }) => axis + 1));
  /** What is done before an update, in order: statistics where they wait for roots, then the roots of these factors. */
  const rounds = sequential
    ? Array.from({ length: rank }, (_, axis) => ({
        observe: compileAxis(axis),
        factors: factors.filter((factor) => factor.axis === axis),
      }))
    : [{ observe: undefined, factors }];
  const P = factors.map(({ root }) => input("root", root));
  const preconditioned = (vector: Tensor, grafted: Tensor): Tensor => {
    let next = 0;
    return concat(
      layout.entries.map((entry) => {
        const own = blocks.filter((block) => block.entry === entry);
        if (own.length === 0) return partOf(grafted, entry).reshape([entry.size]);
        const array = partOf(vector, entry);
        const parts = own.map(({ block }) =>
          block.reduce((part, _, axis) => multiplyAlong(part, axis, P[next++]!), cut(array, block)),
        );
        return join(parts, entry.shape, blockSize).reshape([entry.size]);
      }),
    );
  };
  const grafting = graftedStep(settings.graft, settings.graftBeta2, settings.graftEpsilon);
  const precondition: Transform = {
    ...grafting,
    update(direction, state, context) {
      const grafted = grafting.update(direction, state, context);
      const turned = preconditioned(direction, grafted.direction);
      const scaled = settings.graft === "none" ? turned : withNormsOf(turned, grafted.direction, layout);
      return { ...grafted, direction: done.ge(settings.start).select(scaled, grafted.direction) };
    },
  };
  const transform = chain(
    correctedMean(settings.beta1),
    precondition,
    settings.weightDecay > 0 ? decoupledDecay(settings.weightDecay, masks[settings.decay]) : undefined,
    settings.momentum > 0 ? traceMomentum({ decay: settings.momentum }) : undefined,
  );
  const specs = Object.entries(transform.init({ dtype, layout }));
  const before = Object.fromEntries(specs.map(([name, { shape }]) => [name, input(name, { dtype, shape })]));
  const vectors = specs.map(([, { shape }]) => runtime.buffer(dtype, shape));
  const step = done.add(1);
  const context = { dtype, layout, parameters: theta, gradient, step: step.cast(dtype) };
  const result = transform.update(gradient, before, context);
  const rate = scheduleOf("shampoo", settings)(done.cast(dtype));
  const own = [objective.parameters, counter, ...vectors];
  const updating = compile(
    runtime,
    {
      inputs: [theta, done, ...Object.values(before), gradient, ...P],
      outputs: [
        theta.sub(result.direction.mul(rate)),
        step,
        ...specs.map(([name]) => result.state[name]!),
        rate,
      ],
    },
    { inputs: [...own, gradientBuffer, ...factors.map(({ root }) => root)], outputs: own },
  );
  const rateOut = updating.outputs[own.length]!;
  const largest = Math.max(1, ...factors.map(({ root }) => root.shape[0]!));
  const watch = stopwatch(runtime.clock);
  const rooter = createRooter(runtime, dtype, settings.root, largest);

  return {
    state: {
      step: counter,
      ...Object.fromEntries(specs.map(([name], k) => [name, vectors[k]!])),
      ...Object.fromEntries(factors.map((factor) => [`statistics.${factor.name}`, factor.statistics])),
      ...Object.fromEntries(factors.map((factor) => [`root.${factor.name}`, factor.root])),
    },
    coverage: layout.entries.map((entry) => {
      const { name, shape, size } = entry;
      const own = factors.filter((factor) => factor.entry === entry);
      const cuts = blocks.filter((block) => block.entry === entry).length;
      return {
        name,
        size,
        treatment: own.length > 0 ? "a root for every axis" : `as ${settings.graft} has it`,
        orders: [...new Set(own.map(({ root }) => root.shape[0]!))],
        bytes: own.reduce(
          (sum, { statistics: S, root }) => sum + S.data.byteLength + root.data.byteLength,
          0,
        ),
        reason:
          own.length === 0
            ? "fewer than two axes"
            : `${shape.length} ${shape.length === 1 ? "axis" : "axes"}${cuts > 1 ? `, in ${cuts} blocks` : ""}`,
      };
    }),
    step() {
      const t = counter.data[0]!;
      watch.start();
      key.data[1] = t; // dropout draws by seed and number of the update
      evaluation.run();
      watch.lap("evaluation");
      const [loss, gradientNorm] = [lossOut.data[0]!, normOut.data[0]!];
      const accepted = Number.isFinite(loss) && Number.isFinite(gradientNorm);
      const due = accepted && t >= settings.start && (t - settings.start) % settings.interval === 0;
      let failed = 0;
      if (accepted)
        for (const round of rounds) {
          round.observe?.run();
          if (!due) continue;
          for (const { statistics: from, root, p } of round.factors)
            if (!rooter.root(from, beta2 === 1 ? 1 : 1 / (1 - beta2 ** (t + 1)), settings.epsilon, p, root))
              failed++;
        }
      if (due) watch.lap("inversion");
      if (accepted) updating.run();
      watch.lap("update");
      return {
        loss,
        ...(accepted && { learningRate: rateOut.data[0]! }),
        gradientNorm,
        finite: accepted,
        evaluations: { gradients: 1 },
        diagnostics: {
          accepted,
          ...(!accepted && notFinite),
          refreshed: due,
          ...(failed > 0 && {
            rootsKept: failed,
            fallback: "roots could not be had and stay as they were",
          }),
        },
        seconds: watch.seconds,
      };
    },
    release() {
      const buffers = [
        counter,
        gradientBuffer,
        ...vectors,
        ...factors.flatMap((f) => [f.statistics, f.root]),
      ];
      for (const part of [evaluation, updating, rooter, ...buffers]) part.release();
      for (const { observe } of rounds) observe?.release();
    },
  };
}

/** One axis of an array in blocks. */
interface BlockedAxis {
  readonly axis: number;
  /** Of the array: elements, and axes. */
  readonly size: number;
  readonly rank: number;
  /** Over all blocks of the array: Σ extent², Σ extent³, and the mean extent, weighted by elements. */
  readonly squares: number;
  readonly cubes: number;
  readonly meanExtent: number;
}

function blockedAxes(array: ArrayShape, blockSize: number): BlockedAxis[] {
  const size = sizeOfArray(array);
  return array.shape.map((extent, axis) => {
    const others = array.shape
      .filter((_, other) => other !== axis)
      .reduce((product, length) => product * Math.ceil(length / blockSize), 1);
    const rest = extent % blockSize;
    const powers = (p: number) => Math.floor(extent / blockSize) * blockSize ** p + rest ** p;
    return {
      axis,
      size,
      rank: array.shape.length,
      squares: others * powers(2),
      cubes: others * powers(3),
      meanExtent: powers(2) / extent,
    };
  });
}

/** @example shampoo.create({ learningRate: 0.001, interval: 20, graft: "rmsprop" }).start(objective).step(); */
export const shampoo = defineMethod(
  {
    name: "shampoo",
    family: "matrix preconditioner",
    description: "A full-matrix preconditioner for every axis, with the step lengths of a simpler method.",
    reference: "Gupta, Koren & Singer 2018, Shampoo: preconditioned stochastic tensor optimization",
    asks: gradients,
    treats: [
      { arrays: "two or more axes", how: "a preconditioner an axis; axes above blockSize in blocks" },
      { arrays: "vectors and scalars", how: "the grafted method (vectors=true: scalars only)" },
    ],
    costs(shape, s) {
      const n = parameterCount(shape);
      const axes = arraysOf(shape).flatMap((array) =>
        hasRoots(array, s) ? blockedAxes(array, s.blockSize) : [],
      );
      const sum = (of: (axis: BlockedAxis) => number) => axes.reduce((all, axis) => all + of(axis), 0);
      const squares = sum((axis) => axis.squares);
      const product = sum((axis) => 2 * axis.size * axis.meanExtent);
      const grafted = { none: 0, sgd: 5, adagrad: 10, rmsprop: 12, adam: 13 }[s.graft];
      const each = 5 + (s.beta1 > 0 ? 4 : 0) + grafted + (s.momentum > 0 ? 2 : 0) + sharedFlops(s);
      const moments =
        (s.beta1 > 0 ? 1 : 0) + (s.graft === "none" || s.graft === "sgd" ? 0 : 1) + (s.momentum > 0 ? 1 : 0);
      const root = s.root === "eigen" ? "11 Σ axis³" : "20 Σ 2(2 + log₂ p) axis³";
      return {
        state: [
          ...vectors("moments", moments, n),
          { part: "factors", formula: "Σ axis²", elements: squares },
          { part: "roots", formula: "Σ axis²", elements: squares },
          scalars(),
        ],
        workspace: [...vectors("gradient", 1, n), ...decayMask(s, shape)],
        work: [
          s.variant === "paper"
            ? { part: "curvature", formula: "2 Σ size·axis + 4 Σ axis²", flops: product + 4 * squares }
            : {
                part: "curvature",
                formula: "2 Σ (axes − i + 1) size·axisᵢ + 4 Σ axis²",
                flops: sum((axis) => 2 * axis.size * axis.meanExtent * (axis.rank - axis.axis)) + 4 * squares,
              },
          {
            part: "inversion",
            formula: every(s.interval, root),
            flops:
              sum(
                ({ cubes, rank }) =>
                  cubes *
                  (s.root === "eigen" ? 11 : 40 * (2 + Math.log2(s.exponent || usualExponent(s, rank)))),
              ) / s.interval,
          },
          { part: "update", formula: `2 Σ size·axis + ${each}n`, flops: product + each * n },
        ],
        evaluations: { gradients: 1 },
      };
    },
    options,
  },
  (settings) => {
    scheduleOf("shampoo", settings);
    return { name: "shampoo", settings, start: (objective) => start(objective, settings) };
  },
);
