/**
 * Points to try: a quasi-random sequence fills a box more evenly than independent draws do, and better than a grid
 * where few settings matter (Bergstra & Bengio 2012, "Random search for hyper-parameter optimization"; Bousquet et al.
 * 2017, "Critical hyper-parameters: no random, no cry").
 */
import { random } from "../nn/random.js";

/** Where a number is looked for. */
export interface Range {
  readonly from: number;
  readonly to: number;
  /** log: equal ratios of x are alike; complement: equal ratios of 1 − x, as for decay rates; linear: differences. */
  readonly scale: "log" | "complement" | "linear";
  /** Only whole numbers. */
  readonly whole?: boolean | undefined;
}

/** The value at a share of the way, 0 to 1, on the range's own scale. */
export function valueAt({ from, to, scale, whole }: Range, share: number): number {
  const between = (a: number, b: number) => a * (b / a) ** share;
  const value =
    scale === "linear"
      ? from + (to - from) * share
      : scale === "log"
        ? between(from, to)
        : 1 - between(1 - from, 1 - to);
  // Four digits are enough to find a good value, and can be read and typed again.
  return whole ? Math.round(value) : scale === "complement" ? 1 - round(1 - value) : round(value);
}

const round = (value: number) => Number(value.toPrecision(4));

/** Decades (factors of ten, of x or of 1 − x) between the ends; of a linear range, 1. */
export const decadesOf = ({ from, to, scale }: Range): number =>
  scale === "linear"
    ? 1
    : Math.abs(scale === "log" ? Math.log10(to / from) : Math.log10((1 - to) / (1 - from)));

/**
 * `count` points of Halton's sequence (1960), shifted by a random vector modulo 1 (Cranley & Patterson 1976): the first
 * k points of a longer sequence are those of a shorter one.
 *
 *     searchPoints({ learningRate: { from: 1e-4, to: 1e-1, scale: "log" } }, 20, 0)
 *
 * @throws RangeError when there are more ranges than `primes`.
 */
export function searchPoints(
  ranges: Readonly<Record<string, Range>>,
  count: number,
  seed: number,
): Record<string, number>[] {
  const names = Object.keys(ranges);
  if (names.length > primes.length)
    throw new RangeError(`search: ${names.length} settings at once; use at most ${primes.length}`);
  const rng = random(seed).stream("search");
  const shifts = names.map(() => rng.uniform());
  return Array.from({ length: count }, (_, k) =>
    Object.fromEntries(
      names.map((name, axis) => {
        const share = (radicalInverse(k + 1, primes[axis]!) + shifts[axis]!) % 1;
        return [name, valueAt(ranges[name]!, share)];
      }),
    ),
  );
}

const primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];

/** The digits of k in a base, mirrored at the point. */
function radicalInverse(k: number, base: number): number {
  let [inverse, weight] = [0, 1 / base];
  for (let rest = k; rest > 0; rest = Math.floor(rest / base)) {
    inverse += (rest % base) * weight;
    weight /= base;
  }
  return inverse;
}
