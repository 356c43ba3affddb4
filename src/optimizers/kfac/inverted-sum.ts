/** The inverse of one block that is a sum of two Kronecker products: bases X, Y and scales S (kronecker/pencil.ts). */
import { factoredDamping, meanDiagonal, type Pencil } from "../../curvature/kronecker/index.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Inversion } from "./preconditioner.js";

/** A₁, G₁, A₂, G₂ → X, Y, S, each factor with its share of γ, as a single product's. */
export function invertSum(
  pencil: Pencil,
  factors: readonly Buffer[],
  [basisA, basisG, scales]: readonly Buffer[],
  gamma: number,
): Inversion {
  const [A1, G1, A2, G2] = factors as [Buffer, Buffer, Buffer, Buffer];
  const [one, two] = [
    factoredDamping(meanDiagonal(A1), meanDiagonal(G1), gamma),
    factoredDamping(meanDiagonal(A2), meanDiagonal(G2), gamma),
  ];
  const [inputs, outputs] = scales!.shape as [number, number];
  const [p, q] = [new Float64Array(inputs), new Float64Array(outputs)];
  const a = pencil.diagonalize({ matrix: A1, shift: one.a }, { matrix: A2, shift: two.a }, basisA!, p);
  const g = pencil.diagonalize({ matrix: G1, shift: one.g }, { matrix: G2, shift: two.g }, basisG!, q);
  if (!a || !g) return byDiagonals(factors, [basisA!, basisG!, scales!], gamma);
  const [normsA, normsG] = [squaredRows(basisA!), squaredRows(basisG!)];
  const { data } = scales!;
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < inputs; i++)
    for (let j = 0; j < outputs; j++) {
      const exact = a[0] * g[0] * p[i]! * q[j]! + a[1] * g[1] * (1 - p[i]!) * (1 - q[j]!);
      // Each product is at least γ²I, so that S is at least this whatever rounding made of it.
      const value = Math.max(exact, 2 * gamma ** 2 * normsA[i]! * normsG[j]!);
      data[i * outputs + j] = value;
      const eigenvalue = value / (normsA[i]! * normsG[j]!);
      least = Math.min(least, eigenvalue);
      most = Math.max(most, eigenvalue);
    }
  return { condition: most / least, raised: 0 };
}

/** Where there are no bases, the coordinates serve. */
function byDiagonals(
  [A1, G1, A2, G2]: readonly Buffer[],
  [basisA, basisG, scales]: readonly Buffer[],
  gamma: number,
): Inversion {
  for (const { data, shape } of [basisA!, basisG!]) {
    data.fill(0);
    for (let k = 0; k < shape[0]!; k++) data[k * (shape[0]! + 1)] = 1;
  }
  const [inputs, outputs] = scales!.shape as [number, number];
  const at = ({ data, shape }: Buffer, k: number) => data[k * (shape[0]! + 1)]!;
  for (let i = 0; i < inputs; i++)
    for (let j = 0; j < outputs; j++) {
      const sum = at(A1!, i) * at(G1!, j) + at(A2!, i) * at(G2!, j);
      scales!.data[i * outputs + j] = (Number.isFinite(sum) ? sum : 0) + 2 * gamma ** 2;
    }
  return { condition: 1, raised: 1 };
}

function squaredRows({ data, shape }: Buffer): Float64Array {
  const n = shape[0]!;
  const norms = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) norms[i]! += data[i * n + j]! ** 2;
  return norms;
}
