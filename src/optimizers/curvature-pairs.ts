/**
 * The inverse Hessian from the last m pairs s = Δθ, y = Δg, by the two-loop recursion (Nocedal 1980; Nocedal & Wright
 * 2006, "Numerical optimization", algorithm 7.4): with ρ = 1/(yᵀs) and H₀ = γI, γ = sᵀy/yᵀy of the newest pair,
 *
 *     q ← g;   from new to old: α = ρ sᵀq, q ← q − α y;   d ← γ q;   from old to new: d ← d + (α − ρ yᵀd) s
 *
 * The pairs lie in a ring; which slot is how old is an input of the program, so that nothing moves when one is added.
 */
import { compile } from "../compiler/compile.js";
import type { Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import { input, type Tensor } from "../tensor/tensor.js";
import { innerProduct } from "./evaluation.js";

export interface CurvaturePairs {
  /** d ← −H g into `direction`; gᵀd and ‖g‖₁. */
  direct(): { readonly slope: number; readonly absoluteSum: number };
  /**
   * Adds the pair of s = t·d and y = after − before + λs, and drops the oldest if there are m. Leaves it out where
   * yᵀs ≤ 10⁻¹⁰ ‖y‖‖s‖, without which H would not stay positive definite (negative curvature, or rounding alone).
   */
  add(t: number, damping?: number): boolean;
  clear(): void;
  readonly count: number;
  readonly state: Readonly<Record<string, Buffer>>;
  release(): void;
}

interface Vectors {
  /** Gradients at both ends of the step, on one sample. */
  readonly before: Buffer;
  readonly after: Buffer;
  /** What is multiplied by H, and −H g. */
  readonly gradient: Buffer;
  readonly direction: Buffer;
}

/** Memory: 2m vectors. FLOPs: 8mn a direction. @example compileCurvaturePairs(objective, 10, vectors).direct(); */
export function compileCurvaturePairs(
  { runtime, dtype, parameters }: Objective,
  m: number,
  { before, after, gradient, direction }: Vectors,
): CurvaturePairs {
  const n = parameters.size;
  const steps = runtime.buffer(dtype, [m, n]);
  const changes = runtime.buffer(dtype, [m, n]);
  /** ρ; 0 marks an empty slot, which then changes nothing. */
  const weights = runtime.buffer("f64", [m]);
  const scale = runtime.buffer("f64", []);
  const count = runtime.buffer("i32", []);
  /** Slots from the newest to the oldest. */
  const order = runtime.buffer("i32", [m]);
  scale.data[0] = 1;

  const inputs = [gradient, steps, changes, weights, scale, order];
  const [g, S, Y, rho, gamma, slots] = inputs.map((buffer) => input("pairs", buffer)) as Six;
  const multiplied = twoLoops(g, S, Y, rho, gamma, slots);
  const recursion = compile(
    runtime,
    {
      inputs: [g, S, Y, rho, gamma, slots],
      outputs: [multiplied.neg(), innerProduct(g, multiplied).neg(), g.abs().cast("f64").sum()],
    },
    { inputs, outputs: [direction] },
  );

  const ends = [direction, after, before];
  const [d, late, early] = ends.map((buffer) => input("end", buffer)) as [Tensor, Tensor, Tensor];
  const t = input("t", { dtype: "f64", shape: [] });
  const lambda = input("damping", t);
  const s = d.mul(t.cast(dtype));
  const y = late.sub(early).add(s.mul(lambda.cast(dtype)));
  const difference = compile(
    runtime,
    {
      inputs: [d, late, early, t, lambda],
      outputs: [s, y, innerProduct(s, y), innerProduct(s, s), innerProduct(y, y)],
    },
    { inputs: ends },
  );
  const [sOut, yOut, sy, ss, yy] = difference.outputs as [Buffer, Buffer, Buffer, Buffer, Buffer];
  const clear = () => {
    count.data[0] = 0;
    weights.data.fill(0);
    scale.data[0] = 1;
  };

  return {
    direct() {
      const stored = count.data[0]!;
      for (let age = 0; age < m; age++) order.data[age] = (((stored - 1 - age) % m) + m) % m;
      recursion.run();
      return { slope: recursion.outputs[1]!.data[0]!, absoluteSum: recursion.outputs[2]!.data[0]! };
    },
    add(length, damping = 0) {
      difference.inputs[3]!.data[0] = length;
      difference.inputs[4]!.data[0] = damping;
      difference.run();
      const curvature = sy.data[0]!;
      // NaN is no curvature either.
      if (!(curvature > 1e-10 * Math.sqrt(ss.data[0]! * yy.data[0]!))) return false;
      const slot = count.data[0]! % m;
      steps.data.set(sOut.data, slot * n);
      changes.data.set(yOut.data, slot * n);
      weights.data[slot] = 1 / curvature;
      scale.data[0] = curvature / yy.data[0]!;
      count.data[0]!++;
      return true;
    },
    clear,
    get count() {
      return count.data[0]!;
    },
    state: { pairs: count, steps, changes, weights, scale },
    release() {
      recursion.release();
      difference.release();
      for (const buffer of [steps, changes, weights, scale, count, order]) buffer.release();
    },
  };
}

type Six = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];

function twoLoops(g: Tensor, S: Tensor, Y: Tensor, rho: Tensor, gamma: Tensor, slots: Tensor): Tensor {
  const m = slots.size;
  const row = (of: Tensor, age: number) => of.gather(slots.slice(0, age, age + 1)).reshape([g.size]);
  const weight = (age: number) => rho.gather(slots.slice(0, age, age + 1)).reshape([]);
  const times = (a: Tensor, v: Tensor) => v.mul(a.cast(v.dtype));
  let q = g;
  const alphas: Tensor[] = [];
  for (let age = 0; age < m; age++) {
    const alpha = weight(age).mul(innerProduct(row(S, age), q));
    alphas.push(alpha);
    q = q.sub(times(alpha, row(Y, age)));
  }
  let d = times(gamma, q);
  for (let age = m - 1; age >= 0; age--) {
    const beta = weight(age).mul(innerProduct(row(Y, age), d));
    d = d.add(times(alphas[age]!.sub(beta), row(S, age)));
  }
  return d;
}
