/**
 * Points to try: a quasi-random sequence fills a box more evenly than independent draws do, and better than a grid
 * where few settings matter (Bergstra & Bengio 2012, "Random search for hyper-parameter optimization"; Bousquet et al.
 * 2017, "Critical hyper-parameters: no random, no cry").
 */
import { random } from "../nn/random.js";
import { didYouMean } from "../optimizers/names.js";
import { type Options, SettingsError, type Typical } from "../optimizers/settings.js";

/** Where a number is looked for, and on which scale. */
export interface Range extends Typical {
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

/**
 * Ranges for a search over a method's settings, from text: "learningRate=0.001..0.1,damping" names a range of one's own
 * and the typical one of another. Without text, the typical ranges of all settings on which much or something depends.
 *
 *     rangesOf("kfac", optimizers.kfac.options, "damping=0.001..1")
 *
 * @throws SettingsError for an unknown setting, one that is no number, or a range that is none.
 */
export function rangesOf(method: string, options: Options, over?: string): Record<string, Range> {
  const typicalOf = (name: string): Range | undefined => {
    const { kind, typical } = options[name]!;
    return typical && { ...typical, ...(kind === "count" && { whole: true }) };
  };
  if (over === undefined) {
    const ranges = Object.keys(options)
      .filter((name) => options[name]!.sensitivity === "high" || options[name]!.sensitivity === "medium")
      .map((name) => [name, typicalOf(name)!] as const);
    if (ranges.length === 0)
      throw new SettingsError(
        `${method}: no setting has a typical range; name some, such as --over learningRate=0.001..0.1`,
      );
    return Object.fromEntries(ranges.slice(0, primes.length));
  }
  const names = Object.keys(options);
  return Object.fromEntries(
    over.split(",").map((part) => {
      const [, name, from, to] =
        /^\s*([a-zA-Z][a-zA-Z0-9.]*)\s*(?:=\s*(\S+?)\s*\.\.\s*(\S+)\s*)?$/.exec(part) ?? [];
      if (name === undefined)
        throw new SettingsError(`"${part}" is no range; write setting or setting=from..to`);
      const option = options[name];
      if (!option)
        throw new SettingsError(
          `${method}: there is no setting "${name}"${didYouMean(name, names) || `; its settings are ${names.join(", ")}`}`,
        );
      if (option.kind !== "number" && option.kind !== "count")
        throw new SettingsError(
          `${method}: ${name} is no number, and has no range; give it with the optimizer`,
        );
      const typical = typicalOf(name);
      if (from === undefined || to === undefined) {
        if (!typical)
          throw new SettingsError(`${method}: ${name} has no typical range; write ${name}=from..to`);
        return [name, typical];
      }
      const ends = [option.read(from), option.read(to)];
      const [low, high] = ends as [number, number];
      if (ends.includes(undefined) || !(low < high))
        throw new SettingsError(
          `${method}: ${name}=${from}..${to} is no range; both ends must be ${option.range}, the first one smaller`,
        );
      const scale = typical?.scale ?? "log";
      // Zero has no logarithm.
      return [
        name,
        {
          from: low,
          to: high,
          scale: scale === "log" && low <= 0 ? "linear" : scale,
          ...(option.kind === "count" && { whole: true }),
        },
      ];
    }),
  );
}
