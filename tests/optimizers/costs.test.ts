/** The catalogue's formulas of work against FLOPs, counted as trainings run. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { linearPart, transpose } from "../../src/autodiff/derivative.js";
import { cost } from "../../src/compiler/cost.js";
import type { Bindings } from "../../src/compiler/plan.js";
import {
  type Arguments,
  argumentsOf,
  curvatureProduct,
  gradientOf,
  modelShapeOf,
  type Objective,
  type TracedLoss,
} from "../../src/curvature/index.js";
import { traceFactors } from "../../src/curvature/kronecker/index.js";
import {
  conv2d,
  dense,
  embedding,
  flatten,
  maxPool2d,
  sequential,
  softmaxCrossEntropy,
  tanh,
  transformerBlock,
} from "../../src/nn/index.js";
import { findMethod } from "../../src/optimizers/index.js";
import type { BlasFunctions } from "../../src/runtime/blas.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import type { Program } from "../../src/tensor/program.js";
import { input, type Tensor } from "../../src/tensor/tensor.js";
import { type Network, networks, objectiveOf } from "../curvature/networks.js";

/** FLOPs so far: of programs with matrix products, of those without, of routines called beside programs. */
const counted = vi.hoisted(() => ({ products: 0, elementwise: 0, routines: 0 }));
vi.mock("../../src/compiler/compile.js", async (original) => {
  const actual = await original<typeof import("../../src/compiler/compile.js")>();
  return {
    ...actual,
    compile(_: Runtime, program: Program, bindings?: Bindings) {
      // The real runtime: products in programs are no routines beside them.
      const executable = actual.compile(runtime, program, bindings);
      const { matmulFlops, elementwiseFlops, transcendentals } = cost(program);
      return {
        ...executable,
        run() {
          counted[matmulFlops > 0 ? "products" : "elementwise"] +=
            matmulFlops + elementwiseFlops + transcendentals;
          executable.run();
        },
      };
    },
  };
});

/** The routines by the conventions of costs.ts, each counted when it is called. */
function counting(functions: BlasFunctions): BlasFunctions {
  const flops: { readonly [name: string]: (...given: number[]) => number } = {
    gemm: (_, __, m, n, k) => 2 * m! * n! * k!,
    potrf: (n) => n! ** 3 / 3,
    potri: (n) => (2 * n! ** 3) / 3,
    syevd: (n) => 9 * n! ** 3,
    geqrf: (m, n) => (8 / 3) * m! * n! ** 2,
    gesv: (n, columns) => (2 * n! ** 3) / 3 + 2 * n! ** 2 * columns!,
    trsm: (_, __, n, m) => n! ** 2 * m!,
  };
  return Object.fromEntries(
    Object.entries(functions).map(([name, routine]) => [
      name,
      (...given: number[]) => {
        counted.routines += flops[name.slice(1)]?.(...given) ?? 0;
        return (routine as (...numbers: number[]) => unknown)(...given);
      },
    ]),
  ) as unknown as BlasFunctions;
}

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const classification = (network: Pick<Network, "layer" | "input"> & Partial<Network>): Network => ({
  loss: softmaxCrossEntropy(),
  targets: "classes",
  ...network,
});
/** Wide enough for what is not in the formulas, scalars of a step, to be nothing. */
const wide = {
  mlp: classification({
    layer: sequential(dense(100), tanh(), dense(50), tanh(), dense(10)),
    input: [60],
    examples: 16,
  }),
  cnn: classification({
    layer: sequential(
      conv2d(12, 3, { padding: "same" }),
      tanh(),
      conv2d(24, 3),
      tanh(),
      maxPool2d(2),
      flatten(),
      dense(10),
    ),
    input: [8, 8, 4],
    examples: 4,
  }),
  transformer: classification({
    layer: sequential(
      embedding(50, 24),
      transformerBlock({ heads: 2, causal: true, expansion: 2 }),
      dense(50),
    ),
    input: [6],
    tokens: 50,
    target: [6],
    examples: 3,
  }),
};

const flopsOf = (program: Program): number => {
  const { matmulFlops, elementwiseFlops, transcendentals } = cost(program);
  return matmulFlops + elementwiseFlops + transcendentals;
};

type Extra = (
  traced: TracedLoss,
  given: Arguments,
  objective: Objective,
) => { inputs: Tensor[]; outputs: Tensor[] };

/** FLOPs of loss and gradient, and of what else is asked of the same forward pass. */
function evaluationFlops(objective: Objective, extra?: Extra): number {
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const { inputs = [], outputs = [] } = extra?.(traced, given, objective) ?? {};
  return flopsOf({
    inputs: [...given.inputs, ...inputs],
    outputs: [traced.loss, gradientOf(traced.loss, given.parameters), ...outputs],
  });
}
/** What an answer costs beside the gradient that is asked too. */
const extras: Readonly<Record<string, Extra>> = {
  hessianVectorProducts(traced, { parameters }) {
    const z = input("z", parameters);
    return { inputs: [z], outputs: [curvatureProduct("hessian", traced, parameters, z)] };
  },
  /** Gradients by the parameters. */
  parameters({ outputCurvature }, { parameters, key }) {
    const { outputs, sampleGradient } = outputCurvature!;
    return {
      inputs: [],
      outputs: [transpose(linearPart([outputs], [parameters]), [sampleGradient!(key)])[0]!],
    };
  },
  /** Gradients by the pre-activations. */
  preactivations(traced, { parameters, key }, { layout }) {
    const { terms } = traceFactors(traced, parameters, layout, key, {});
    return { inputs: [], outputs: terms.flatMap(({ backward }) => [...backward.gradients.values()]) };
  },
};

interface Run {
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Steps before counting, and of counting: whole refresh intervals. */
  readonly before?: number;
  readonly steps?: number;
}
/** What is counted, means a step, beside what the catalogue says. */
function run(network: Network, name: string, { settings = {}, before = 1, steps = 1 }: Run) {
  const objective = objectiveOf(
    { ...runtime, blas: { ...runtime.blas, functions: counting(runtime.blas.functions) } },
    network,
  );
  const method = findMethod(name);
  const training = method.create(settings).start(objective);
  for (let k = 0; k < before; k++) training.step();
  Object.assign(counted, { products: 0, elementwise: 0, routines: 0 });
  for (let k = 0; k < steps; k++) expect(training.step().finite).toBe(true);
  const mean = {
    programs: (counted.products + counted.elementwise) / steps,
    elementwise: counted.elementwise / steps,
    routines: counted.routines / steps,
  };
  const { work, evaluations } = method.costs(modelShapeOf(objective), settings, network.examples);
  const flops = (...parts: string[]) =>
    work.filter(({ part }) => parts.includes(part)).reduce((sum, each) => sum + each.flops, 0);
  training.release();
  return { objective, mean, flops, evaluations };
}
const within = (share: number, counted: number, formula: number) => {
  expect(counted / formula).toBeGreaterThan(1 - share);
  expect(counted / formula).toBeLessThan(1 + share);
};

describe("work of a step beside its gradient", () => {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ["sgd", {}],
    ["sgd", { clipNorm: 1 }],
    ["sgd", { l2: 0.1 }],
    ["momentum", {}],
    ["momentum", { dampening: 0.5 }],
    ["nesterov", {}],
    ["adam", {}],
    ["adam", { amsgrad: true }],
    ["adamw", {}],
    ["adagrad", {}],
    ["rmsprop", {}],
    ["rmsprop", { momentum: 0.9, centered: true }],
    ["lion", {}],
    ["adafactor", {}],
    ["learned", { weightDecay: 0.1 }],
    ["lars", {}],
    ["lars", { layers: "all", weightDecay: 0.1 }],
    ["lars", { nesterov: true }],
    ["lamb", {}],
    ["lamb", { layers: "matrices", correction: "outside" }],
    ["muon", {}],
    ["muon", { nesterov: false, iterations: 3, outputs: "first" }],
    ["shampoo", {}],
    ["shampoo", { blockSize: 30, graft: "sgd", beta1: 0, momentum: 0.9 }],
    ["shampoo", { graft: "rmsprop" }],
    ["shampoo", { variant: "sequential" }],
    ["shampoo", { graft: "adagrad", weightDecay: 0.1 }],
    ["soap", { interval: 1 }],
    ["soap", { interval: 1, vectors: true, weightDecay: 0 }],
  ];
  test.each(cases)("%s %j", (name, settings) => {
    const { objective, mean, flops } = run(wide.mlp, name, { settings });
    within(0.02, mean.programs - evaluationFlops(objective), flops("curvature", "update"));
    objective.release();
  });
  test.each(["cnn", "transformer"] as const)("of matrices in a %s", (network) => {
    for (const [name, settings] of [
      ["muon", {}],
      ["shampoo", {}],
      ["soap", { interval: 2 }],
    ] as const) {
      const { objective, mean, flops } = run(wide[network], name, { settings, before: 2, steps: 2 });
      within(0.02, mean.programs - evaluationFlops(objective), flops("curvature", "update"));
      objective.release();
    }
  });
});

describe("work of estimates and of what they ask", () => {
  test.each([
    ["adahessian", "hessianVectorProducts", { every: 2 }],
    ["sophia", "hessianVectorProducts", { every: 2 }],
    ["sophia", "parameters", { every: 2, estimator: "gaussNewtonBartlett" }],
  ] as const)("%s by %s", (name, question, settings) => {
    const { objective, mean, flops, evaluations } = run(wide.mlp, name, { settings, before: 2, steps: 2 });
    expect(evaluations[question === "parameters" ? "sampledGradients" : question]).toBe(0.5);
    const gradient = evaluationFlops(objective);
    const asked = (evaluationFlops(objective, extras[question]) - gradient) / 2;
    within(0.02, mean.programs - gradient - asked, flops("curvature", "update"));
    objective.release();
  });
  test.each([
    ["mlp", "kfac", { inverse: "cholesky" }],
    ["mlp", "kfac", { inverse: "eigen" }],
    ["mlp", "kfac", { structure: "blockTridiagonal" }],
    ["mlp", "ekfac", {}],
    ["cnn", "kfac", {}],
    ["transformer", "kfac", {}],
    ["transformer", "ekfac", {}],
  ] as const)("%s by %s %j", (network, name, given) => {
    // Once its batches are more than an interval's, the average is inverted at intervals.
    const settings = { ...given, factorInterval: 2, inverseInterval: 4 };
    const counts = run(wide[network], name, { settings, before: 8, steps: 8 });
    const { objective, mean, flops, evaluations } = counts;
    const gradient = evaluationFlops(objective);
    const backward = evaluationFlops(objective, extras.preactivations) - gradient;
    const forward = gradient / 3;
    const asked = evaluations.sampledGradients! * backward + (evaluations.losses ?? 0) * forward;
    within(0.02, mean.programs, gradient + asked + flops("curvature", "update"));
    within(0.02, mean.routines, flops("inversion"));
    objective.release();
  });
});

describe("work of iterations", () => {
  test.each([
    ["hessianFree", { iterations: 10, progress: 1e-9 }],
    ["hessianFree", { iterations: 10, progress: 1e-9, preconditioner: "none" }],
    ["naturalGradient", { iterations: 10, residual: 1e-12 }],
    ["lbfgs", {}],
    ["lbfgs", { memory: 5 }],
  ])("%s %j", (name, settings) => {
    const { objective, mean, flops } = run(wide.mlp, name, { settings, before: 2, steps: 4 });
    // Trials of lengths, two FLOPs an element, are as many as it takes.
    within(0.06, mean.elementwise, flops("inversion", "update"));
    objective.release();
  });
});

test("hessianFree preconditioned by Kronecker factors, beside what it takes without", () => {
  const of = (preconditioner: string) => {
    const settings = {
      ...{ iterations: 5, progress: 1e-9, backtracking: false, curvatureExamples: 12 },
      ...{ preconditioner, factorInterval: 2, inverseInterval: 4 },
    };
    const counts = run(wide.mlp, "hessianFree", { settings, before: 8, steps: 8 });
    const shape = modelShapeOf(counts.objective);
    const routines = findMethod("hessianFree")
      .costs(shape, settings, wide.mlp.examples)
      .work.reduce((sum, { formula, flops }) => sum + (formula.includes("in³") ? flops : 0), 0);
    return { ...counts, routines, programs: counts.flops("curvature", "inversion", "update") - routines };
  };
  const [plain, factored] = [of("none"), of("kfac")];
  const { objective, evaluations } = factored;
  const gradient = evaluationFlops(objective);
  const backward = evaluationFlops(objective, extras.preactivations) - gradient;
  // An estimate is a program of its own, with a forward pass on the examples of the curvature.
  const forward = (gradient / 3) * (12 / 16);
  const asked = evaluations.sampledGradients! * backward + evaluations.factors! * forward;
  within(0.03, factored.mean.programs - plain.mean.programs, asked + factored.programs - plain.programs);
  within(0.01, factored.mean.routines, factored.routines);
  expect(plain.mean.routines).toBe(0);
  for (const each of [plain, factored]) each.objective.release();
});

test.each([
  ["shampoo", { interval: 2 }],
  ["shampoo", { interval: 2, blockSize: 30 }],
  ["soap", { interval: 2 }],
  ["newton", { globalization: "none", damping: 10, learningRate: 0.01 }],
  ["newton", { globalization: "levenbergMarquardt", curvature: "gaussNewton", damping: 1000 }],
  ["newton", { curvature: "gaussNewton", radius: 0.01 }],
])("routines of %s %j", (name, settings) => {
  const network = name === "newton" ? networks.mlp! : wide.mlp;
  const { objective, mean, flops } = run(network, name, { settings, before: 2, steps: 2 });
  within(0.01, mean.routines, flops("inversion") + (name === "newton" ? flops("update") : 0));
  objective.release();
});
