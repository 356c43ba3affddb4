/**
 * The inverse of a sum of two Kronecker products, A₁ ⊗ G₁ + A₂ ⊗ G₂, exactly: the two A are diagonal in one basis, and
 * so are the two G (Martens & Grosse 2015, appendix B, by another pair). With scales aₜ, gₜ,
 *
 *     X (A₁/a₁ + A₂/a₂) Xᵀ = I,  X A₁ Xᵀ/a₁ = diag(p)        Y (G₁/g₁ + G₂/g₂) Yᵀ = I,  Y G₁ Yᵀ/g₁ = diag(q)
 *     (X ⊗ Y) (A₁ ⊗ G₁ + A₂ ⊗ G₂) (X ⊗ Y)ᵀ = diag S,   S = a₁g₁ p qᵀ + a₂g₂ (1 − p)(1 − q)ᵀ
 *     M ↦ Xᵀ [(X M Yᵀ) / S] Y
 *
 * Each factor is damped by itself. FLOPs: two decompositions a side, about 24n³.
 */
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import { meanDiagonal } from "./damping.js";
import { createInverter } from "./inverses.js";

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
  const { functions } = runtime.blas;
  const gemm = dtype === "f64" ? functions.dgemm : functions.sgemm;
  const inverter = createInverter(runtime, dtype, "eigen", largest);
  const orders = new Map<number, { one: Buffer; two: Buffer; three: Buffer; values: Buffer }>();
  const workOf = (n: number) => {
    let work = orders.get(n);
    if (!work) {
      const square = () => runtime.buffer(dtype, [n, n]);
      work = { one: square(), two: square(), three: square(), values: runtime.buffer(dtype, [n]) };
      orders.set(n, work);
    }
    return work;
  };
  const rounding = dtype === "f64" ? 2 ** -52 : 2 ** -23;
  return {
    diagonalize(first, second, basis, shares) {
      const n = first.matrix.shape[0]!;
      const { one, two, three, values } = workOf(n);
      const scales = [first, second].map(({ matrix, shift }) => meanDiagonal(matrix) + shift);
      const [s, t] = scales as [number, number];
      if (!(s > 0 && t > 0 && Number.isFinite(s + t))) return undefined;
      // one ← A₁/a₁, two ← A₁/a₁ + A₂/a₂
      for (let k = 0; k < n * n; k++) {
        const onDiagonal = k % (n + 1) === 0;
        one.data[k] = (first.matrix.data[k]! + (onDiagonal ? first.shift : 0)) / s;
        two.data[k] = one.data[k]! + (second.matrix.data[k]! + (onDiagonal ? second.shift : 0)) / t;
      }
      // W: rows of eigenvectors over the roots of their eigenvalues, W·two·Wᵀ = I.
      if (!inverter.decompose(two, three, values)) return undefined;
      const least = rounding * values.data[n - 1]!;
      for (let i = 0; i < n; i++) {
        const scale = 1 / Math.sqrt(Math.max(values.data[i]!, least));
        for (let j = 0; j < n; j++) three.data[i * n + j]! *= scale;
      }
      const product = (tb: 0 | 1, a: Buffer, b: Buffer, to: Buffer) =>
        gemm(0, tb, n, n, n, 1, a.address, n, b.address, n, 0, to.address, n);
      product(0, three, one, two);
      product(1, two, three, one);
      if (!inverter.decompose(one, two, values)) return undefined;
      product(0, two, three, basis);
      for (let i = 0; i < n; i++) shares[i] = Math.min(1, values.data[i]!);
      return [s, t];
    },
    release() {
      inverter.release();
      for (const { one, two, three, values } of orders.values())
        for (const buffer of [one, two, three, values]) buffer.release();
    },
  };
}
