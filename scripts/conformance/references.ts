/**
 * Reference implementations, and which of our methods repeats each with which settings. A new method
 * plugs in by an entry.
 */
import * as v from "valibot";
import { type Optimizer, optimizers, type Training } from "../../src/optimizers/index.js";
import { parse, type Trajectory } from "./format.js";
import { problems } from "./problems.js";

/** How one file is repeated. */
export interface Repetition {
  readonly optimizer: Optimizer;
  /** Largest relative deviation, where it is not the one that follows from the file's amplification. */
  readonly tolerance?: number;
  /** Whether curvatures but the Hessian contain that of a regulariser, which is part of the loss in any case. */
  readonly regulariserInCurvature?: boolean;
  /** Called before update t = 1, 2, …: hands over what the reference drew at random (stored z vectors). */
  feed?(training: Training, t: number): void;
}

export interface Reference {
  /** Names of files, the part after the problem. */
  readonly files: RegExp;
  /** The method as we call it. */
  readonly method: string;
  /** @throws FormatError for hyperparameters that it cannot repeat. */
  readonly prepare: (file: Trajectory) => Repetition;
}

const rate = v.number();
const betas = v.optional(v.tuple([v.number(), v.number()]), [0.9, 0.999]);

const sgdHyperparameters = v.strictObject({
  lr: rate,
  momentum: v.optional(v.number(), 0),
  dampening: v.optional(v.number(), 0),
  weight_decay: v.optional(v.number(), 0),
  nesterov: v.optional(v.boolean(), false),
});
const adamHyperparameters = v.strictObject({
  lr: rate,
  betas,
  eps: v.optional(v.number(), 1e-8),
  weight_decay: v.optional(v.number(), 0),
  amsgrad: v.optional(v.boolean(), false),
});

const lambHyperparameters = v.looseObject({
  lr: rate,
  betas,
  eps: v.number(),
  weight_decay: v.optional(v.number(), 0),
  adam_debias: v.optional(v.boolean(), false),
  clamp: v.optional(v.number(), 0),
});
const larsHyperparameters = v.strictObject({
  lr: rate,
  momentum: v.number(),
  dampening: v.literal(0),
  trust_coefficient: v.number(),
  weight_decay: v.number(),
  nesterov: v.boolean(),
});

const adahessianHyperparameters = v.looseObject({
  lr: rate,
  betas,
  eps: v.number(),
  weight_decay: v.number(),
  weight_decouple: v.literal(true),
  hessian_power: v.number(),
  update_period: v.literal(1),
  num_samples: v.literal(1),
});
const sophiaHyperparameters = v.looseObject({
  lr: rate,
  betas,
  eps: v.number(),
  p: v.number(),
  weight_decay: v.number(),
  weight_decouple: v.literal(true),
  update_period: v.number(),
  num_samples: v.literal(1),
});

/** The signs of a file, one vector an estimate, handed over before every update that makes one. */
const storedSigns = (file: Trajectory, every: number) => {
  const draws = parse("z", v.array(v.record(v.string(), v.array(v.number()))), file.z);
  const { parameters } = problems[file.problem]!;
  return (training: Training, t: number) => {
    const z = draws[(t - 1) / every];
    if (z) training.state.probe!.set(parameters.flatMap((name) => z[name]!));
  };
};

const dampedHyperparameters = v.strictObject({
  lr: rate,
  damping: v.number(),
  line_search: v.optional(v.literal(false)),
  l2_added_to_curvature: v.optional(v.boolean(), false),
});

/** (A + λI)⁻¹ g with a fixed λ and nothing that holds a step back. */
const bareNewton = (file: Trajectory, curvature: "hessian" | "gaussNewton"): Repetition => {
  const { lr, damping, l2_added_to_curvature } = read(dampedHyperparameters, file);
  return {
    optimizer: optimizers.newton.create({
      curvature,
      globalization: "none",
      learningRate: lr,
      damping,
      tolerance: 0,
    }),
    regulariserInCurvature: l2_added_to_curvature,
  };
};

const kfacHyperparameters = v.strictObject({
  lr: rate,
  damping: v.number(),
  damping_kind: v.string(),
  ema: v.literal(false),
  momentum: v.literal(0),
  rescaling: v.literal(false),
  update_every: v.literal(1),
});

const muonHyperparameters = v.strictObject({
  matrices: v.strictObject({
    lr: rate,
    momentum: v.number(),
    weight_decay: v.number(),
    nesterov: v.boolean(),
    ns_steps: v.number(),
    ns_coefficients: v.strictTuple([v.literal(3.4445), v.literal(-4.775), v.literal(2.0315)]),
  }),
  biases_aux_adam: v.strictObject({
    lr: rate,
    betas: v.tuple([v.number(), v.number()]),
    eps: v.number(),
    weight_decay: v.number(),
  }),
});

const shampooHyperparameters = v.looseObject({
  lr: rate,
  betas: v.tuple([v.number(), v.number()]),
  epsilon: v.number(),
  momentum: v.number(),
  weight_decay: v.number(),
  max_preconditioner_dim: v.number(),
  precondition_frequency: v.number(),
  start_preconditioning_step: v.number(),
  exponent_override: v.literal(0),
  exponent_multiplier: v.literal(1),
  use_nesterov: v.literal(false),
  use_bias_correction: v.literal(true),
  use_decoupled_weight_decay: v.literal(true),
  use_separate_momentum: v.literal(false),
  use_merge_dims: v.literal(false),
  grafting_type: v.picklist(["NONE", "ADAM"]),
  grafting_beta2: v.optional(v.number(), 0.999),
  grafting_epsilon: v.optional(v.number(), 1e-8),
});

const kozistrShampooHyperparameters = v.strictObject({
  lr: rate,
  momentum: v.literal(0),
  weight_decay: v.literal(0),
  weight_decouple: v.boolean(),
  fixed_decay: v.boolean(),
  preconditioning_compute_steps: v.number(),
  matrix_eps: v.number(),
});

const soapHyperparameters = v.strictObject({
  lr: rate,
  betas: v.tuple([v.number(), v.number()]),
  shampoo_beta: v.number(),
  eps: v.number(),
  weight_decay: v.number(),
  max_precond_dim: v.number(),
  merge_dims: v.literal(false),
  normalize_grads: v.literal(false),
  correct_bias: v.literal(true),
  precondition_frequency: v.number(),
  precondition_1d: v.boolean(),
});

/** Per array and axis Q, row-major with eigenvectors in its columns; null where there is none. */
const soapEigenbases = v.tuple([v.record(v.string(), v.array(v.nullable(v.array(v.number()))))]);

const trustExactHyperparameters = v.looseObject({
  initial_trust_radius: v.number(),
  max_trust_radius: v.number(),
});

const torchLbfgsHyperparameters = v.strictObject({
  lr: rate,
  history_size: v.number(),
  line_search_fn: v.literal("strong_wolfe"),
  max_iter: v.literal(1),
  max_eval: v.number(),
  tolerance_grad: v.number(),
  tolerance_change: v.number(),
});
const scipyLbfgsHyperparameters = v.looseObject({ maxcor: v.number() });

const read = <S extends v.GenericSchema>(schema: S, file: Trajectory): v.InferOutput<S> =>
  parse("hyperparameters", schema, file.hyperparameters);

export const references: readonly Reference[] = [
  {
    files: /^sgd(-|$)/,
    method: "sgd",
    prepare(file) {
      const h = read(sgdHyperparameters, file);
      const plain = { learningRate: h.lr, l2: h.weight_decay };
      if (h.momentum === 0) return { optimizer: optimizers.sgd.create(plain) };
      const method = h.nesterov ? optimizers.nesterov : optimizers.momentum;
      return { optimizer: method.create({ ...plain, momentum: h.momentum, dampening: h.dampening }) };
    },
  },
  {
    files: /^adam(-|$)/,
    method: "adam",
    prepare(file) {
      const { lr, betas, eps, weight_decay, amsgrad } = read(adamHyperparameters, file);
      const [beta1, beta2] = betas;
      return {
        optimizer: optimizers.adam.create({
          learningRate: lr,
          beta1,
          beta2,
          epsilon: eps,
          amsgrad,
          l2: weight_decay,
        }),
      };
    },
  },
  {
    files: /^adamw(-|$)/,
    method: "adamw",
    prepare(file) {
      const { lr, betas, eps, weight_decay, amsgrad } = read(adamHyperparameters, file);
      const [beta1, beta2] = betas;
      return {
        optimizer: optimizers.adamw.create({
          learningRate: lr,
          beta1,
          beta2,
          epsilon: eps,
          amsgrad,
          weightDecay: weight_decay,
          decay: "all",
        }),
      };
    },
  },
  {
    files: /^lamb(-|$)/,
    method: "lamb",
    prepare(file) {
      const h = read(lambHyperparameters, file);
      const [beta1, beta2] = h.betas;
      const shared = {
        learningRate: h.lr,
        beta1,
        beta2,
        epsilon: h.eps,
        weightDecay: h.weight_decay,
        decay: "all",
      } as const;
      if (file.optimizer.startsWith("lamb-paper")) return { optimizer: optimizers.lamb.create(shared) };
      return {
        optimizer: optimizers.lamb.create({
          ...shared,
          correction: h.adam_debias ? "none" : "outside",
          decayPlace: "before",
          mostNorm: h.clamp,
          ratioEpsilon: h.eps,
        }),
      };
    },
  },
  {
    files: /^lars(-|$)/,
    method: "lars",
    prepare(file) {
      const h = read(larsHyperparameters, file);
      return {
        optimizer: optimizers.lars.create({
          learningRate: h.lr,
          momentum: h.momentum,
          nesterov: h.nesterov,
          trustCoefficient: h.trust_coefficient,
          weightDecay: h.weight_decay,
          normalizer: "gradient",
          bufferStart: "gradient",
        }),
      };
    },
  },
  {
    files: /^adahessian(-|$)/,
    method: "adahessian",
    prepare(file) {
      const h = read(adahessianHyperparameters, file);
      const [beta1, beta2] = h.betas;
      return {
        optimizer: optimizers.adahessian.create({
          learningRate: h.lr,
          beta1,
          beta2,
          epsilon: h.eps,
          hessianPower: h.hessian_power,
          averaging: "none",
          weightDecay: h.weight_decay,
          decay: "all",
        }),
        feed: storedSigns(file, 1),
      };
    },
  },
  {
    files: /^sophiah(-|$)/,
    method: "sophia",
    prepare(file) {
      const h = read(sophiaHyperparameters, file);
      const [beta1, beta2] = h.betas;
      return {
        optimizer: optimizers.sophia.create({
          learningRate: h.lr * h.p,
          beta1,
          beta2,
          gamma: h.p,
          epsilon: h.p * h.eps,
          every: h.update_period,
          weightDecay: h.weight_decay / h.p,
          decay: "all",
        }),
        feed: storedSigns(file, h.update_period),
      };
    },
  },
  {
    files: /^shampoo-meta(-|$)/,
    method: "shampoo",
    prepare(file) {
      const h = read(shampooHyperparameters, file);
      return {
        optimizer: optimizers.shampoo.create({
          learningRate: h.lr,
          beta1: h.betas[0],
          beta2: h.betas[1],
          epsilon: h.epsilon,
          momentum: h.momentum,
          graft: h.grafting_type === "ADAM" ? "adam" : "none",
          graftBeta2: h.grafting_beta2,
          graftEpsilon: h.grafting_epsilon,
          blockSize: h.max_preconditioner_dim,
          vectors: true,
          interval: h.precondition_frequency,
          start: h.start_preconditioning_step,
          weightDecay: h.weight_decay,
          decay: "all",
        }),
      };
    },
  },
  {
    files: /^shampoo-kozistr$/,
    method: "shampoo",
    prepare(file) {
      const h = read(kozistrShampooHyperparameters, file);
      return {
        optimizer: optimizers.shampoo.create({
          variant: "sequential",
          learningRate: h.lr,
          beta1: 0,
          beta2: 1,
          epsilon: h.matrix_eps,
          graft: "none",
          interval: h.preconditioning_compute_steps,
        }),
      };
    },
  },
  {
    files: /^soap(-|$)/,
    method: "soap",
    prepare(file) {
      const h = read(soapHyperparameters, file);
      const [firstBases] = parse("eigenbases", soapEigenbases, file.eigenbases_after_call_1);
      return {
        optimizer: optimizers.soap.create({
          learningRate: h.lr,
          beta1: h.betas[0],
          beta2: h.betas[1],
          statisticsDecay: h.shampoo_beta === -1 ? h.betas[1] : h.shampoo_beta,
          epsilon: h.eps,
          interval: h.precondition_frequency,
          largestAxis: h.max_precond_dim,
          vectors: h.precondition_1d,
          weightDecay: h.weight_decay,
          decay: "all",
        }),
        // The first eigenbases are those of a single gradient. Rounding decides on vectors of small eigenvalues, and
        // two plain loops with different LAPACK routines are 2e-7 apart at the end: the reference's own are taken.
        feed(training, t) {
          if (t !== 2) return;
          for (const [name, sides] of Object.entries(firstBases))
            sides.forEach((basis, axis) => {
              if (basis) training.state[`basis.${name}.${axis}`]!.set(basis);
            });
        },
        tolerance: 1e-8,
      };
    },
  },
  {
    files: /^muon(-|$)/,
    method: "muon",
    prepare(file) {
      const { matrices, biases_aux_adam: rest } = read(muonHyperparameters, file);
      return {
        optimizer: optimizers.muon.create({
          learningRate: matrices.lr,
          momentum: matrices.momentum,
          nesterov: matrices.nesterov,
          iterations: matrices.ns_steps,
          outputs: "first",
          adamRate: rest.lr,
          beta1: rest.betas[0],
          beta2: rest.betas[1],
          epsilon: rest.eps,
          weightDecay: matrices.weight_decay,
          decay: "all",
        }),
        // Rounded to 8 bits, the iteration gives other singular values; ours has the precision of the parameters.
        ...(file.optimizer === "muon-bf16" && { tolerance: 0.1 }),
      };
    },
  },
  {
    files: /^lbfgs-strong-wolfe$/,
    method: "lbfgs",
    prepare(file) {
      const h = read(torchLbfgsHyperparameters, file);
      const settings = { memory: h.history_size, learningRate: h.lr, tolerance: h.tolerance_grad };
      return {
        optimizer: optimizers.lbfgs.create(settings),
        // Each pair is a difference of gradients, in which their rounding weighs more than in the start: another order
        // of summation alone moves the trajectory on Rosenbrock's function by 2e-9.
        tolerance: Math.max(1e-10, 1e-13 * (file.amplification ?? 1)),
      };
    },
  },
  {
    files: /^scipy-lbfgsb$/,
    method: "lbfgs",
    prepare: (file) => ({
      optimizer: optimizers.lbfgs.create({
        memory: read(scipyLbfgsHyperparameters, file).maxcor,
        tolerance: 0,
      }),
    }),
  },
  { files: /^newton-damped(-|$)/, method: "newton", prepare: (file) => bareNewton(file, "hessian") },
  { files: /^gauss-newton(-|$)/, method: "newton", prepare: (file) => bareNewton(file, "gaussNewton") },
  {
    files: /^scipy-trust-exact$/,
    method: "newton",
    prepare(file) {
      const h = read(trustExactHyperparameters, file);
      return {
        optimizer: optimizers.newton.create({
          radius: h.initial_trust_radius,
          mostRadius: h.max_trust_radius,
          tolerance: 0,
        }),
      };
    },
  },
  {
    files: /^scipy-newton-cg$/,
    method: "hessianFree",
    prepare: () => ({
      optimizer: optimizers.hessianFree.create({
        curvature: "hessian",
        preconditioner: "none",
        // Rosenbrock's function in ten dimensions has two minima; cautious first steps lead to the reference's.
        damping: 1000,
        tolerance: 0,
      }),
    }),
  },
  {
    files: /^natural-gradient(-|$)/,
    method: "naturalGradient",
    prepare(file) {
      const { lr, damping, l2_added_to_curvature } = read(dampedHyperparameters, file);
      return {
        optimizer: optimizers.naturalGradient.create({
          solver: "dense",
          globalization: "none",
          learningRate: lr,
          damping,
          tolerance: 0,
        }),
        regulariserInCurvature: l2_added_to_curvature,
        // F + λI multiplies the rounding of F by its condition, which a perturbation of the start does not show.
        tolerance: Math.max(1e-10, 1e-13 * (file.amplification ?? 1)),
      };
    },
  },
  {
    files: /^kfac(-|$)/,
    method: "kfac",
    prepare(file) {
      const { lr, damping } = read(kfacHyperparameters, file);
      return {
        optimizer: optimizers.kfac.create({
          learningRate: lr,
          damping,
          momentum: 0,
          klClip: 0,
          estimator: "exact",
          factorDecay: 0,
          factorInterval: 1,
          inverseInterval: 1,
        }),
      };
    },
  },
];

export const findReference = (
  optimizer: string,
  table: readonly Reference[] = references,
): Reference | undefined => table.find((reference) => reference.files.test(optimizer));
