/**
 * Seconds of work on a device. Of peaks alone, a roofline (Williams, Waterman & Patterson 2009) with shares of them:
 *
 *     product of m×k by k×n     max(2mnk / rate, 4(mk + kn + mn) / bandwidth)
 *     elementwise               bytes / bandwidth
 *     factorization of order n  FLOPs / rate
 *
 * Where the machine was measured, rates are by size, and were measured in a cache. What lies farther away takes the time
 * by which its bandwidth β is slower than the cache's β₀ in addition: one thread hides little of it behind the rest.
 *
 *     product                   2mnk / rate + 4(mk + kn + mn) (1/β − 1/β₀), rate the least of a square's of side ∛(mnk)
 *                               and a thin one's of side min(m, n, k)
 *     elementwise               max(operations / rate + transcendentals / theirs, bytes / β₀) + bytes (1/β − 1/β₀)
 *                               + steps · call
 *     factorization             FLOPs / rate(n)
 */
import type { Hardware } from "./hardware.js";

type Points = NonNullable<Hardware["measured"]>["products"];

/** The rate at a size, linear in the logarithms between measured ones, constant beyond them. */
export function rateAt(points: Points, size: number): number {
  const next = points.findIndex((measured) => measured.size >= size);
  if (next === -1) return points.at(-1)!.rate;
  if (next === 0) return points[0]!.rate;
  const [a, b] = [points[next - 1]!, points[next]!];
  return a.rate * (b.rate / a.rate) ** (Math.log(size / a.size) / Math.log(b.size / a.size));
}

/** Bytes a second where `walked` bytes are walked over again and again. */
export const bandwidthOf = ({ measured, bandwidth, efficiency }: Hardware, walked: number): number =>
  measured ? rateAt(measured.bandwidths, walked) : bandwidth * efficiency.memory;

/** Seconds of so many bytes from where `walked` are walked over, beyond those that a cache takes. */
const fetchSeconds = (hardware: Hardware, bytes: number, walked: number): number =>
  bytes * (1 / bandwidthOf(hardware, walked) - 1 / bandwidthOf(hardware, 0));

export interface Product {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

export interface Format {
  /** Of a number. */
  readonly bytes: number;
  /** FLOP/s of products, where they were not measured. */
  readonly peak: number;
}

/**
 * One product, by default of f32, whose operands come from `walked` bytes that are walked over again and again; by
 * default from themselves.
 */
export function productSeconds(
  hardware: Hardware,
  { m, k, n }: Product,
  { bytes, peak }: Format = { bytes: 4, peak: hardware.matmul.f32 },
  walked?: number,
): number {
  const { measured, efficiency } = hardware;
  const moved = bytes * (m * k + k * n + m * n);
  const flops = 2 * m * k * n;
  if (!measured) return Math.max(flops / (peak * efficiency.matmul), moved / bandwidthOf(hardware, moved));
  const rate = Math.min(
    rateAt(measured.products, Math.cbrt(m * k * n)),
    rateAt(measured.thinProducts, Math.min(m, k, n)),
  );
  return flops / rate + fetchSeconds(hardware, moved, walked ?? moved);
}

/** Products of which only the FLOPs are known, as if of a square. */
export function squareSeconds(hardware: Hardware, flops: number, format?: Format): number {
  const side = Math.cbrt(flops / 2);
  return flops === 0 ? 0 : productSeconds(hardware, { m: side, k: side, n: side }, format);
}

export interface Elementwise {
  readonly operations: number;
  readonly transcendentals: number;
  /** Bytes read and written. */
  readonly bytes: number;
  /** Bytes that are walked over before the first is touched again. */
  readonly walked: number;
  readonly steps: number;
}

export function elementwiseSeconds(hardware: Hardware, work: Elementwise): number {
  const { measured } = hardware;
  if (!measured) return work.bytes / bandwidthOf(hardware, work.walked);
  const computing = work.operations / measured.elementwise + work.transcendentals / measured.transcendental;
  return (
    Math.max(computing, work.bytes / bandwidthOf(hardware, 0)) +
    fetchSeconds(hardware, work.bytes, work.walked) +
    work.steps * measured.call
  );
}

/** Factorizations of matrices of these orders, `flops` in all, which are shared as n³. */
export function factorizationSeconds(
  { measured, factorization }: Hardware,
  kind: "cholesky" | "eigen",
  flops: number,
  orders: readonly number[],
): number {
  if (!measured) return flops / factorization[kind];
  const cubes = orders.reduce((sum, n) => sum + n ** 3, 0);
  return orders.reduce((sum, n) => sum + ((n ** 3 / cubes) * flops) / rateAt(measured[kind], n), 0);
}
