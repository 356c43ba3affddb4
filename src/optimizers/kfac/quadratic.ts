/**
 * A step from the exact quadratic model on the batch (Martens & Grosse 2015, sections 6.4 to 7). With d = F⁻¹g and δ₀
 * the last step, δ = c₁ d + c₂ δ₀ minimises
 *
 *     q(δ) = gᵀδ + ½ δᵀ(C + λI) δ,      C the exact Gauss–Newton matrix (with the regulariser's Hessian)
 *
 * over c: a system of two equations, whose products δᵀCδ need two forward derivatives and no backward pass.
 */
import { applyLinear, linearPart, orZeros, pushforward } from "../../autodiff/derivative.js";
import { compile } from "../../compiler/compile.js";
import { needCurvature } from "../../curvature/kronecker/index.js";
import { argumentsOf, gradientOf, type Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { input, stack, type Tensor } from "../../tensor/tensor.js";
import { innerProduct } from "../evaluation.js";
import type { Preconditioner } from "./preconditioner.js";

export interface Model {
  /** c₁, c₂. */
  readonly coefficients: readonly [number, number];
  /** q(δ) with the damping. */
  readonly value: number;
  /** The reduction that the model without damping promises: −gᵀδ − ½ δᵀCδ. */
  readonly predicted: number;
  /** Whether there is such a δ. */
  readonly finite: boolean;
}

export interface QuadraticStep {
  /** δ₀ [n]. */
  readonly state: Readonly<Record<string, Buffer>>;
  /** d from the gradient and the inverses as they are. */
  aim(gamma: number): void;
  /** The best step along d and δ₀ for this λ. */
  model(lambda: number): Model;
  /** θ ← θ + δ, δ₀ ← δ. Returns ‖δ‖. */
  move(coefficients: readonly [number, number]): number;
  /** θ ← θ − δ to the bit, δ₀ ← 0. */
  back(): void;
  release(): void;
}

/** gᵀu, uᵀu, uᵀCu for u = d, δ₀ and mixed: g·d, g·δ₀, dd, dδ₀, δ₀δ₀, dCd, dCδ₀, δ₀Cδ₀. */
function forms(objective: Objective, buffers: { gradient: Buffer; direction: Buffer; last: Buffer }) {
  const given = argumentsOf(objective);
  const { parameters } = given;
  const traced = objective.trace(parameters, given.batch, given.state, given.key);
  const { outputs, product } = needCurvature(traced);
  const gradient = input("gradient", parameters);
  const along = [input("direction", parameters), input("last step", parameters)] as const;
  const map = linearPart([outputs], [parameters]);
  const moved = along.map((u) => orZeros(applyLinear(map, [u])[0], outputs));
  const curved = moved.map(product);
  const bent = traced.regulariser
    ? along.map((u) =>
        orZeros(pushforward([gradientOf(traced.regulariser!, parameters)], [parameters], [u])[0], parameters),
      )
    : undefined;
  const pairs = [
    [0, 0],
    [0, 1],
    [1, 1],
  ] as const;
  const curvature = pairs.map(([i, j]): Tensor => {
    const fit = innerProduct(moved[i]!, curved[j]!);
    return bent ? fit.add(innerProduct(along[i], bent[j]!)) : fit;
  });
  const values = [
    ...along.map((u) => innerProduct(gradient, u)),
    ...pairs.map(([i, j]) => innerProduct(along[i], along[j])),
    ...curvature,
  ];
  return compile(
    objective.runtime,
    { inputs: [...given.inputs, gradient, ...along], outputs: [stack(values)] },
    { inputs: [...given.buffers, buffers.gradient, buffers.direction, buffers.last] },
  );
}

export function quadraticStep(
  objective: Objective,
  gradientBuffer: Buffer,
  preconditioner: Preconditioner,
): QuadraticStep {
  const { runtime, dtype, layout, parameters } = objective;
  const vector = () => runtime.buffer(dtype, [layout.size]);
  const [direction, last, before] = [vector(), vector(), vector()];

  const gradient = input("gradient", gradientBuffer);
  const gammaSymbol = input("gamma", { dtype, shape: [] });
  const symbols = preconditioner.symbols();
  const aiming = compile(
    runtime,
    {
      inputs: [gradient, gammaSymbol, ...symbols],
      outputs: [preconditioner.direction(symbols, gradient, gammaSymbol)],
    },
    { inputs: [gradientBuffer, undefined, ...Object.values(preconditioner.state)], outputs: [direction] },
  );
  const quadratic = forms(objective, { gradient: gradientBuffer, direction, last });
  const [theta, d, delta, c] = [
    input("parameters", parameters),
    input("direction", direction),
    input("last step", last),
    input("coefficients", { dtype, shape: [2] }),
  ];
  const next = d.mul(c.at(0)).add(delta.mul(c.at(1)));
  const moving = compile(
    runtime,
    { inputs: [theta, d, delta, c], outputs: [theta.add(next), next, innerProduct(next, next)] },
    { inputs: [parameters, direction, last], outputs: [parameters, last] },
  );

  return {
    state: { "last step": last },
    aim(gamma) {
      aiming.inputs[1]!.data[0] = gamma;
      aiming.run();
    },
    model(lambda) {
      quadratic.run();
      return minimum(quadratic.outputs[0]!.data, lambda);
    },
    move([first, second]) {
      before.data.set(parameters.data);
      moving.inputs[3]!.data[0] = first;
      moving.inputs[3]!.data[1] = second;
      moving.run();
      return Math.sqrt(moving.outputs[2]!.data[0]!);
    },
    back() {
      parameters.data.set(before.data);
      last.data.fill(0);
    },
    release() {
      for (const part of [aiming, quadratic, moving, direction, last, before]) part.release();
    },
  };
}

/** argmin over c of bᵀc + ½ cᵀQc with Q = C + λI on the plane of d and δ₀; along d alone where the plane is a line. */
function minimum(values: ArrayLike<number>, lambda: number): Model {
  const [b1, b2, s11, s12, s22, k11, k12, k22] = Array.from(values) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const [q11, q12, q22] = [k11 + lambda * s11, k12 + lambda * s12, k22 + lambda * s22];
  const determinant = q11 * q22 - q12 * q12;
  const plane = determinant > 1e-10 * q11 * q22;
  const c1 = plane ? (q12 * b2 - q22 * b1) / determinant : -b1 / q11;
  const c2 = plane ? (q12 * b1 - q11 * b2) / determinant : 0;
  const value = 0.5 * (b1 * c1 + b2 * c2);
  const along = b1 * c1 + b2 * c2;
  const predicted = -along - 0.5 * (k11 * c1 * c1 + 2 * k12 * c1 * c2 + k22 * c2 * c2);
  return { coefficients: [c1, c2], value, predicted, finite: Number.isFinite(c1 + c2 + value + predicted) };
}
