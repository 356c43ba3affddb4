/**
 * Two solutions may be one function with hidden units in another order. Weight matching (Ainsworth, Hayase, Srinivasa
 * 2023, "Git Re-Basin: Merging models modulo permutation symmetries", algorithm 1) puts the units of B in the order that
 * brings its parameters closest to A's: layer after layer, with the others fixed, the permutation π of a layer's units
 * is the assignment that maximises
 *
 *     Σᵢ ⟨w_A(i), w_B(π(i))⟩,   w(i): weights into unit i, its bias, weights out of it
 *
 * until none changes. For one hidden layer that is the best order there is; for more it is a local optimum.
 */
import type { Entry, Layout } from "../../nn/parameters.js";
import { leastAssignment } from "./assignment.js";

/** A dense layer: weight [in, out], bias [out]. */
interface Dense {
  readonly weight: Entry;
  readonly bias: Entry | undefined;
}

/**
 * The dense layers of a model that has no other parameters, each reading as many numbers as the one before it makes;
 * undefined where there are others, or fewer than two. (What is between the layers has no parameters; whether it treats
 * all units alike shows in the loss of the aligned solution.)
 */
export function denseChain({ entries }: Layout): Dense[] | undefined {
  const names = [...new Set(entries.map(({ name }) => name.slice(0, name.lastIndexOf("."))))];
  const layers = names.map((name) => {
    const own = entries.filter((entry) => entry.name.slice(0, entry.name.lastIndexOf(".")) === name);
    const weight = own.find((entry) => entry.name === `${name}.weight` && entry.shape.length === 2);
    const bias = own.find((entry) => entry.name === `${name}.bias`);
    const complete = own.length === (bias ? 2 : 1) && (!bias || bias.size === weight?.shape[1]);
    return complete && weight ? { weight, bias } : undefined;
  });
  const chained = layers.every(
    (layer, k) => layer && (k === 0 || layer.weight.shape[0] === layers[k - 1]!.weight.shape[1]),
  );
  return chained && layers.length >= 2 ? (layers as Dense[]) : undefined;
}

/** θ_B [n] with its hidden units in the order that is closest to θ_A's. */
export function aligned(chain: readonly Dense[], a: Float64Array, b: Float64Array): Float64Array {
  const widths = chain.map(({ weight }) => weight.shape[1]!);
  /** Of each layer, which unit of B stands where A has its unit i. The last layer's stay. */
  const orders: Int32Array[] = widths.map((width) => Int32Array.from({ length: width }, (_, i) => i));
  for (let changed = true, sweep = 0; changed && sweep < mostSweeps; sweep++) {
    changed = false;
    for (let l = 0; l < chain.length - 1; l++) {
      const order = leastAssignment(
        likeness(chain, orders, l, a, b).map((x) => -x),
        widths[l]!,
      );
      changed ||= order.some((unit, i) => unit !== orders[l]![i]);
      orders[l] = order;
    }
  }
  const out = b.slice();
  chain.forEach(({ weight, bias }, l) => {
    const [rows, columns] = weight.shape as [number, number];
    const order = orders[l]!;
    for (let r = 0; r < rows; r++) {
      const from = l === 0 ? r : orders[l - 1]![r]!;
      for (let i = 0; i < columns; i++)
        out[weight.offset + r * columns + i] = b[weight.offset + from * columns + order[i]!]!;
    }
    if (bias) for (let i = 0; i < columns; i++) out[bias.offset + i] = b[bias.offset + order[i]!]!;
  });
  return out;
}

/** Sweeps over the layers; in practice a few suffice. */
const mostSweeps = 50;

/** ⟨w_A(i), w_B(j)⟩ of all pairs of units of layer l, [n, n], the neighbouring layers of B in their present order. */
function likeness(
  chain: readonly Dense[],
  orders: readonly Int32Array[],
  l: number,
  a: Float64Array,
  b: Float64Array,
): Float64Array {
  const { weight, bias } = chain[l]!;
  const [rows, n] = weight.shape as [number, number];
  const C = new Float64Array(n * n);
  const addOuter = (x: (i: number) => number, y: (j: number) => number) => {
    for (let i = 0; i < n; i++) {
      const xi = x(i);
      for (let j = 0; j < n; j++) C[i * n + j]! += xi * y(j);
    }
  };
  for (let r = 0; r < rows; r++) {
    const from = l === 0 ? r : orders[l - 1]![r]!;
    addOuter(
      (i) => a[weight.offset + r * n + i]!,
      (j) => b[weight.offset + from * n + j]!,
    );
  }
  if (bias)
    addOuter(
      (i) => a[bias.offset + i]!,
      (j) => b[bias.offset + j]!,
    );
  const next = chain[l + 1]!.weight;
  const columns = next.shape[1]!;
  for (let s = 0; s < columns; s++) {
    const to = orders[l + 1]![s]!;
    addOuter(
      (i) => a[next.offset + i * columns + s]!,
      (j) => b[next.offset + j * columns + to]!,
    );
  }
  return C;
}
