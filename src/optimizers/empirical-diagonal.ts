/**
 * A diagonal preconditioner of curvature: the empirical Fisher's (Martens 2010, "Deep learning via Hessian-free
 * optimization", section 4.7). With ℓᵢ the losses of the B examples,
 *
 *     D = (1/B) Σᵢ (∇ℓᵢ)²,   M = (D + λ)^α
 *
 * Σᵢ (∇ℓᵢ)² needs no gradients of single examples: for independent random signs c, E[(Σᵢ cᵢ ∇ℓᵢ)²] is that sum, so
 * each draw costs one gradient, for any model. Where there are as many draws as examples, unit vectors in the place of
 * signs give it exactly.
 */
import { linearPart, orZeros, transpose } from "../autodiff/derivative.js";
import { compile } from "../compiler/compile.js";
import { argumentsOf, type Objective } from "../curvature/objective.js";
import { random } from "../nn/random.js";
import type { Buffer } from "../runtime/memory.js";
import { input } from "../tensor/tensor.js";
import { SettingsError } from "./settings.js";

export interface EmpiricalDiagonal {
  /** D [n] after `compute`. */
  readonly diagonal: Buffer;
  /** At θ and the batch as they are now; equal numbers draw equal signs. Returns the gradients computed. */
  compute(number: number): number;
  /** scaling ← (D + λ)^−α. */
  scale(damping: number): void;
  release(): void;
}

/**
 *     const diagonal = compileEmpiricalDiagonal("hessianFree", objective, { draws: 8, exponent: 0.75, scaling });
 *     diagonal.compute(step);
 *     diagonal.scale(lambda);
 *
 * @throws SettingsError when the objective does not give the losses of its examples.
 */
export function compileEmpiricalDiagonal(
  method: string,
  objective: Objective,
  {
    draws,
    exponent,
    scaling,
  }: { readonly draws: number; readonly exponent: number; readonly scaling: Buffer },
): EmpiricalDiagonal {
  const { runtime, dtype, parameters } = objective;
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const losses = traced.outputCurvature?.perExample?.();
  if (!losses)
    throw new SettingsError(
      `${method}: preconditioner=empiricalFisher needs outputCurvature.perExample of the objective (curvatureOf makes it from an nn loss); use preconditioner=none`,
    );
  const examples = losses.size;
  const exact = draws >= examples;
  const rounds = exact ? examples : draws;

  const diagonal = runtime.buffer(dtype, parameters.shape);
  const [sum, signs] = [input("sum", diagonal), input("signs", losses)];
  const mixed = orZeros(transpose(linearPart([losses], [given.parameters]), [signs])[0], given.parameters);
  const accumulate = compile(
    runtime,
    {
      inputs: [...given.inputs, sum, signs],
      outputs: [sum.add(mixed.square().mul(1 / (examples * (exact ? 1 : rounds))))],
    },
    { inputs: [...given.buffers, diagonal], outputs: [diagonal] },
  );
  const drawn = accumulate.inputs[given.inputs.length + 1]!;
  const [found, lambda] = [input("diagonal", diagonal), input("lambda", { dtype: "f64", shape: [] })];
  // Without damping, elements that no example's gradient has are still divided by something.
  const damped = found.add(lambda.cast(dtype)).max(found.mean().mul(1e-6).add(1e-30));
  const power = compile(
    runtime,
    { inputs: [found, lambda], outputs: [damped.pow(-exponent)] },
    { inputs: [diagonal], outputs: [scaling] },
  );
  return {
    diagonal,
    compute(number) {
      const rng = random(number).stream("signs of the preconditioner");
      diagonal.data.fill(0);
      for (let round = 0; round < rounds; round++) {
        if (exact) drawn.data.fill(0)[round] = 1;
        else for (let i = 0; i < examples; i++) drawn.data[i] = 2 * rng.integer(2) - 1;
        accumulate.run();
      }
      return rounds;
    },
    scale(damping) {
      power.inputs[1]!.data[0] = damping;
      power.run();
    },
    release() {
      for (const part of [accumulate, power, diagonal]) part.release();
    },
  };
}
