/**
 * The inverse of a sum of two Kronecker products, A₁ ⊗ G₁ + A₂ ⊗ G₂, exactly: the two A are diagonal in one basis, and
 * so are the two G (simultaneous.ts). With scales aₜ, gₜ,
 *
 *     X (A₁/a₁ + A₂/a₂) Xᵀ = I,  X A₁ Xᵀ/a₁ = diag(p)        Y (G₁/g₁ + G₂/g₂) Yᵀ = I,  Y G₁ Yᵀ/g₁ = diag(q)
 *     (X ⊗ Y) (A₁ ⊗ G₁ + A₂ ⊗ G₂) (X ⊗ Y)ᵀ = diag S,   S = a₁g₁ p qᵀ + a₂g₂ (1 − p)(1 − q)ᵀ
 *     M ↦ Xᵀ [(X M Yᵀ) / S] Y
 *
 * Each factor is damped by itself. FLOPs: about 24n³ a side.
 */
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { meanDiagonal } from "./damping.js";
import { createSimultaneous } from "./simultaneous.js";

/** A symmetric matrix and what is added to its diagonal. */
interface Damped {
  readonly matrix: Buffer;
  readonly shift: number;
}

export interface Pencil {
  /**
   * Rows of `basis` [n, n] ← X, `shares` [n] ← p of two matrices that are positive definite with their shifts; the
   * scales, or undefined where there is no such basis. Nothing is allocated.
   */
  diagonalize(
    first: Damped,
    second: Damped,
    basis: Buffer,
    shares: Float64Array,
  ): [number, number] | undefined;
  release(): void;
}

/** Working memory for matrices up to [largest, largest]. */
export function createPencil(runtime: Runtime, dtype: "f32" | "f64", largest: number): Pencil {
  const simultaneous = createSimultaneous(runtime, dtype, largest);
  const orders = new Map<number, { first: Buffer; sum: Buffer; values: Buffer }>();
  const workOf = (n: number) => {
    let work = orders.get(n);
    if (!work) {
      const square = () => runtime.buffer(dtype, [n, n]);
      work = { first: square(), sum: square(), values: runtime.buffer(dtype, [n]) };
      orders.set(n, work);
    }
    return work;
  };
  return {
    diagonalize(one, two, basis, shares) {
      const n = one.matrix.shape[0]!;
      const { first, sum, values } = workOf(n);
      const scales = [one, two].map(({ matrix, shift }) => meanDiagonal(matrix) + shift);
      const [s, t] = scales as [number, number];
      if (!(s > 0 && t > 0 && Number.isFinite(s + t))) return undefined;
      // first ← A₁/a₁, sum ← A₁/a₁ + A₂/a₂
      for (let k = 0; k < n * n; k++) {
        const onDiagonal = k % (n + 1) === 0;
        first.data[k] = (one.matrix.data[k]! + (onDiagonal ? one.shift : 0)) / s;
        sum.data[k] = first.data[k]! + (two.matrix.data[k]! + (onDiagonal ? two.shift : 0)) / t;
      }
      if (!simultaneous.diagonalize(sum, 0, first, basis, values)) return undefined;
      for (let i = 0; i < n; i++) shares[i] = Math.min(1, values.data[i]!);
      return [s, t];
    },
    release() {
      simultaneous.release();
      for (const { first, sum, values } of orders.values())
        for (const buffer of [first, sum, values]) buffer.release();
    },
  };
}
