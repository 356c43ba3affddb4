/**
 * Physics-informed networks (Raissi, Perdikaris, Karniadakis 2019): a network u solves a differential equation where
 * its residuals vanish, at points inside of a domain and on its boundary,
 *
 *     L(θ) = ½ meanᵢ (D u(xᵢ) − f(xᵢ))²  +  ½ meanⱼ (u(yⱼ) − g(yⱼ))²,
 *
 * D a differential operator in the coordinates. What is measured is the distance to a known solution, which the loss
 * sees on the boundary only. Equations, points, initial values and error are those of Dangel, Müller, Zeinhofer 2024,
 * "Kronecker-factored approximate curvature for physics-informed neural networks".
 */
import { compile } from "../../compiler/compile.js";
import { createObjective, type Objective, type TraceLoss } from "../../curvature/objective.js";
import { curvatureOf, sumOfMeans } from "../../curvature/output-curvature.js";
import { dense, initialisers, type Model, meanSquared, model, random, sequential } from "../../nn/index.js";
import {
  choice,
  count,
  type Options,
  positiveCount,
  SettingsError,
  type SettingsOf,
} from "../../optimizers/settings.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input, type Tensor } from "../../tensor/tensor.js";
import { formatCount } from "../format.js";
import type { Problem } from "../problem.js";
import { completePoints, drawInside, drawPoints, type Equation, pointsOf, valuesAt } from "./collocation.js";
import { activationOption, activations, hiddenOption, widthsOf } from "./networks.js";
import { residualPoints } from "./residual-points.js";

export const pinnOptions = (points: {
  readonly boundary: number;
  readonly redraw: number;
  readonly hidden?: string;
  readonly sampling?: "uniform" | "residual";
}) =>
  ({
    hidden: hiddenOption(points.hidden ?? "64"),
    activation: activationOption("tanh"),
    boundary: positiveCount(points.boundary, "points on the boundary; a batch counts those inside"),
    redraw: count(points.redraw, "steps until points are drawn anew; 0 keeps the first"),
    sampling: choice(
      points.sampling ?? "uniform",
      ["uniform", "residual"],
      "where points inside are drawn: anywhere, or more of them where the residual is large",
    ),
    precision: choice("f64", ["f32", "f64"], "numbers of the model"),
  }) as const satisfies Options;
export type PinnOptions = SettingsOf<ReturnType<typeof pinnOptions>>;

/**
 * Settings for equations of few parameters and fixed points: energy natural gradient descent (Müller & Zeinhofer 2023)
 * with an average of its matrix, K-FAC with steps from the quadratic model, Hessian-free.
 */
export const secondOrder = {
  newton: {
    curvature: "gaussNewton",
    globalization: "gridSearch",
    damping: 1e-11,
    curvatureDecay: 0.6,
    tolerance: 1e-12,
  },
  kfac: {
    step: "quadratic",
    estimator: "exact",
    damping: 1e-20,
    dampingInterval: 0,
    factorDecay: 0.92,
    factorStart: "identity",
    factorInterval: 1,
    inverseInterval: 1,
  },
  hessianFree: { damping: 500, iterations: 300, tolerance: 1e-12 },
} satisfies Problem["suggested"];

/** Evaluated points to trained ones. */
const evaluated = 10;

export function physicsInformed(
  equation: Equation,
  options: PinnOptions,
  { defaults, suggested }: Pick<Problem, "defaults" | "suggested">,
): Omit<Problem, "settings"> {
  const { boundary, redraw, precision, sampling } = options;
  if (sampling === "residual" && redraw === 0)
    throw new SettingsError(
      `${equation.name}: sampling=residual needs redraw, the steps until points are drawn anew, and it is 0; use redraw=50`,
    );
  const widths = [equation.box.length, ...widthsOf(options.hidden)!, 1];
  const network = networkOf(widths, options);
  const trace = lossOf(equation, network);
  const every = redraw === 1 ? "every step" : `every ${formatCount(redraw)} steps`;
  const where = sampling === "residual" ? " by residual" : "";
  return {
    summary:
      `${equation.name}, ${widths.join("-")} ${options.activation}, ${formatCount(network.layout.size)} parameters; ` +
      `${formatCount(defaults.batch)} points inside, ${formatCount(boundary)} on the boundary, ` +
      (redraw === 0 ? "fixed" : `drawn anew${where} ${every}`),
    defaults,
    suggested,
    metrics: { l2Error: "min", relativeError: "min", loss: "min" },
    start(runtime, { seed, batch }) {
      const objective = createObjective(runtime, {
        layout: network.layout,
        parameters: network.layout.flatten(network.init(seed).parameters).data,
        batch: pointsOf(equation, precision, batch, boundary),
        trace,
      });
      objective.key.data[0] = seed;
      const adaptive =
        sampling === "residual" ? residualPoints(runtime, equation, network, objective) : undefined;
      // A residual is one of the θ of its time: such points are kept in checkpoints, with the round they are from.
      const drawn = runtime.buffer("i32", []);
      let round = -1;
      const draw = (wanted: number) => {
        if (wanted === round) return;
        const rng = random(seed).stream(`points ${wanted}`);
        if (!adaptive || wanted === 0) drawInside(equation, objective.batch[0]!, rng);
        else if (drawn.data[0] !== wanted) adaptive.draw(rng);
        completePoints(equation, objective.batch, rng);
        drawn.data[0] = wanted;
        round = wanted;
      };
      draw(0);
      const test = compileTest(runtime, equation, network, objective, {
        inside: evaluated * defaults.batch,
        boundary: evaluated * boundary,
      });
      return {
        objective,
        ...(adaptive && { state: { points: objective.batch[0]!, drawn } }),
        sameBatch: redraw === 0,
        load(step) {
          draw(redraw === 0 ? 0 : Math.floor(step / redraw));
          objective.key.data[1] = step;
        },
        evaluate: test.run,
        release() {
          for (const part of [...(adaptive ? [adaptive] : []), test, drawn, objective]) part.release();
        },
      };
    },
  };
}

/** Dense layers with PyTorch's initial values, U(−1/√in, 1/√in) for weights and biases. */
function networkOf(widths: readonly number[], { activation, precision }: PinnOptions): Model {
  const last = widths.length - 2;
  const layers = widths.slice(1).flatMap((width, k) => {
    const bound = 1 / Math.sqrt(widths[k]!);
    const initial = initialisers.uniform(-bound, bound);
    const affine = dense(width, { weight: initial, bias: initial });
    return k === last ? [affine] : [affine, activations[activation]()];
  });
  return model(sequential(...layers), [widths[0]!], precision);
}

/** The loss of a batch: points inside, their f, points on the boundary, their g. */
const lossOf =
  (equation: Equation, network: Model): TraceLoss =>
  (theta, [x, f, y, g]) => {
    const parameters = network.layout.views(theta);
    const loss = meanSquared();
    const Du = equation.operator(network.apply(parameters, x!), x!);
    const u = network.apply(parameters, y!).reshape([-1]);
    return {
      loss: loss.value(Du, f!).add(loss.value(u, g!)),
      state: undefined,
      outputCurvature: sumOfMeans([curvatureOf(loss, Du, f!), curvatureOf(loss, u, g!)]),
    };
  };

/** ‖u_θ − u‖₂ = √mean (u_θ − u)², absolute and by ‖u‖₂, and the loss, at points of their own: the same for all runs. */
function compileTest(
  runtime: Runtime,
  equation: Equation,
  network: Model,
  { parameters }: Objective,
  points: { readonly inside: number; readonly boundary: number },
): { run(): Record<string, number>; release(): void } {
  const batch = pointsOf(equation, network.dtype, points.inside, points.boundary);
  const theta = input("parameters", parameters);
  const symbols = batch.map((spec) => input("points", spec));
  const exact = input("solution", batch[1]!);
  const [x] = symbols as [Tensor];
  const error = network.apply(network.layout.views(theta), x).reshape([-1]).sub(exact);
  const { loss } = lossOf(equation, network)(theta, symbols, undefined, theta);
  const executable = compile(
    runtime,
    { inputs: [...symbols, exact, theta], outputs: [error.square().mean().sqrt(), loss] },
    { inputs: [...symbols.map(() => undefined), undefined, parameters] },
  );
  drawPoints(equation, executable.inputs, random(0).stream("points of the test"));
  const [drawn, , , , solution] = executable.inputs as [Buffer, Buffer, Buffer, Buffer, Buffer];
  valuesAt(equation.solution, drawn, solution);
  let square = 0;
  for (const u of solution.data) square += Number(u) ** 2 / points.inside;
  return {
    run() {
      executable.run();
      const [l2Error, testLoss] = executable.outputs.map(({ data }) => data[0]!) as [number, number];
      return { l2Error, relativeError: l2Error / Math.sqrt(square), loss: testLoss };
    },
    release: executable.release,
  };
}
