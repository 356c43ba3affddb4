import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Fisher–Yates in place, seeded: the same order on every machine. */
export function shuffle(order: Int32Array, seed: number): void {
  const generator = xoroshiro128plus(seed);
  for (let last = order.length - 1; last > 0; last--) {
    const other = uniformInt(generator, 0, last);
    const kept = order[last]!;
    order[last] = order[other]!;
    order[other] = kept;
  }
}

/**
 * 0 … size − 1 in a seeded random order.
 *
 *     subset(data, shuffled(data.size, 7).subarray(0, 100))   // 100 examples at random
 */
export function shuffled(size: number, seed: number): Int32Array {
  const order = Int32Array.from({ length: size }, (_, i) => i);
  shuffle(order, seed);
  return order;
}
