/**
 * A step whose KL divergence is bounded: with d = F⁻¹g,
 *
 *     ν = min(1, √(κ / (η² gᵀd))),   m ← μ m + ν d,   θ ← θ − η (m + λ_w·mask·θ)
 *
 * ½ η² dᵀF d = ½ η² gᵀd is the divergence of the step −ηd to second order (Ba, Grosse, Martens 2017, "Distributed
 * second-order optimization using Kronecker-factored approximations", section 5). One program; θ and m in place.
 */
import { compile } from "../../compiler/compile.js";
import type { Objective } from "../../curvature/objective.js";
import type { Buffer } from "../../runtime/memory.js";
import { input } from "../../tensor/tensor.js";
import { clipByGlobalNorm } from "../clip.js";
import { decoupledDecay, masks } from "../decay.js";
import { innerProduct } from "../evaluation.js";
import { scheduleOf } from "../method.js";
import { traceMomentum } from "../momentum.js";
import { chain, stateless, type Transform } from "../transform.js";
import type { Preconditioner } from "./preconditioner.js";
import type { KroneckerSettings } from "./settings.js";

export interface ClippedStep {
  readonly state: Readonly<Record<string, Buffer>>;
  /** Moves θ; `accepted` is false, and θ where it was, when the direction is not finite. */
  move(gamma: number): { learningRate: number; klScale: number; updateNorm: number; accepted: boolean };
  release(): void;
}

export function clippedStep(
  name: string,
  objective: Objective,
  gradientBuffer: Buffer,
  preconditioner: Preconditioner,
  count: Buffer,
  settings: KroneckerSettings,
): ClippedStep {
  const { runtime, dtype, layout } = objective;
  const schedule = scheduleOf(name, settings);
  const theta = input("parameters", objective.parameters);
  const gradient = input("gradient", gradientBuffer);
  const done = input("step", count);
  const gamma = input("gamma", { dtype, shape: [] });
  const symbols = preconditioner.symbols();
  const rate = schedule(done.cast(dtype));

  const scaled = { value: rate };
  const precondition = stateless("precondition", (g) => preconditioner.direction(symbols, g, gamma));
  const clipKl: Transform = stateless("clip", (direction) => {
    if (settings.klClip === 0) return direction;
    const divergence = innerProduct(gradient, direction).abs().cast(dtype).mul(rate).mul(rate);
    const ratio = divergence.reciprocal().mul(settings.klClip).sqrt();
    scaled.value = divergence.gt(settings.klClip).select(ratio, 1);
    return direction.mul(scaled.value);
  });
  const transform = chain(
    settings.clipNorm > 0 ? clipByGlobalNorm(settings.clipNorm) : undefined,
    precondition,
    clipKl,
    settings.momentum > 0 ? traceMomentum({ decay: settings.momentum }) : undefined,
    settings.weightDecay > 0 ? decoupledDecay(settings.weightDecay, masks[settings.decay]) : undefined,
  );
  const specs = Object.entries(transform.init({ dtype, layout }));
  const before = specs.map(([key, { shape }]) => input(key, { dtype, shape }));
  const buffers = specs.map(([, { shape }]) => runtime.buffer(dtype, shape));
  const result = transform.update(gradient, Object.fromEntries(specs.map(([key], k) => [key, before[k]!])), {
    dtype,
    layout,
    parameters: theta,
    gradient,
    step: done.add(1).cast(dtype),
  });
  const update = result.direction.mul(rate);
  const square = innerProduct(update, update);
  const finite = square.abs().lt(Number.POSITIVE_INFINITY);
  const klScale = settings.klClip === 0 ? rate.mul(0).add(1) : scaled.value;
  const executable = compile(
    runtime,
    {
      inputs: [theta, gradient, done, gamma, ...symbols, ...before],
      outputs: [
        finite.select(theta.sub(update), theta),
        ...specs.map(([key], k) => finite.select(result.state[key]!, before[k]!)),
        rate,
        klScale,
        square,
      ],
    },
    {
      inputs: [
        objective.parameters,
        gradientBuffer,
        count,
        undefined,
        ...Object.values(preconditioner.state),
        ...buffers,
      ],
      outputs: [objective.parameters, ...buffers],
    },
  );
  const [rateOut, scaleOut, squareOut] = executable.outputs.slice(1 + buffers.length) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const gammaIn = executable.inputs[3]!;
  return {
    state: Object.fromEntries(specs.map(([key], k) => [key, buffers[k]!])),
    move(value) {
      gammaIn.data[0] = value;
      executable.run();
      const updateNorm = Math.sqrt(squareOut.data[0]!);
      return {
        learningRate: rateOut.data[0]!,
        klScale: scaleOut.data[0]!,
        updateNorm,
        accepted: Number.isFinite(updateNorm),
      };
    },
    release() {
      executable.release();
      for (const buffer of buffers) buffer.release();
    },
  };
}
