/**
 * The distribution of an operator's eigenvalues by stochastic Lanczos quadrature (Golub & Welsch 1969; Lin, Saad, Yang
 * 2016; Ghorbani, Krishnan, Xiao 2019, "An investigation into neural net optimization via Hessian eigenvalue density").
 * For a random unit vector v with E[v vᵀ] = I/n, E[vᵀ f(A) v] = (1/n) Σ f(λᵢ); the quadrature of Lanczos' iteration
 * from v has the eigenvalues of T as nodes and, as weights, the squared FIRST components of T's eigenvectors (their
 * components along v).
 */
import { random } from "../nn/random.js";
import { lanczosProcess } from "./lanczos.js";
import type { LinearOperator } from "./operator.js";
import { tridiagonalEigen } from "./tridiagonal.js";
import { rademacher } from "./vector.js";

export interface SpectralDensityOptions {
  /** Random starts; default 10. */
  readonly probes?: number;
  /** Lanczos steps m from each, default 80 (or n): the quadrature is exact for polynomials up to degree 2m − 1. */
  readonly steps?: number;
  readonly seed?: number;
  /** Points of the grid; default 1,001. */
  readonly points?: number;
  /** σ of the normal distribution that stands for each node; default 1 % of the spectrum's width. */
  readonly bandwidth?: number;
}

/** Nodes with weights that sum to 1: the quadrature ∫ f = Σ wₖ f(λₖ) of the distribution of eigenvalues. */
export interface Spectrum {
  /** Ascending. */
  readonly nodes: Float64Array;
  readonly weights: Float64Array;
}

export interface SpectralDensity extends Spectrum {
  /** Points from 3σ below the smallest node to 3σ above the largest, and the density there; its integral is 1. */
  readonly grid: Float64Array;
  readonly density: Float64Array;
  readonly bandwidth: number;
}

/**
 * The density of eigenvalues of a symmetric operator: probes × steps products.
 *
 *     const { grid, density } = spectralDensity(H, { probes: 10, steps: 100, seed: 1 });
 */
export function spectralDensity(
  operator: LinearOperator,
  options: SpectralDensityOptions = {},
): SpectralDensity {
  const { probes = 10, steps = 80, seed = 0, points = 1001 } = options;
  for (const [name, value] of Object.entries({ probes, steps, points }))
    if (!Number.isInteger(value) || value < 1)
      throw new RangeError(`spectralDensity: ${name} is ${value}; use a whole number, at least 1`);
  const rng = random(seed).stream("spectral density");
  const start = new Float64Array(operator.size);
  const found: { node: number; weight: number }[] = [];
  for (let probe = 0; probe < probes; probe++) {
    rademacher(start, rng);
    const process = lanczosProcess(operator, start);
    process.extend(Math.min(steps, operator.size));
    const { values, vectors } = tridiagonalEigen(process.diagonal, process.offDiagonal);
    values.forEach((node, k) => {
      found.push({ node, weight: vectors[k]![0]! ** 2 / probes });
    });
  }
  found.sort((a, b) => a.node - b.node);
  const nodes = Float64Array.from(found, ({ node }) => node);
  const weights = Float64Array.from(found, ({ weight }) => weight);
  const [low, high] = [nodes[0]!, nodes.at(-1)!];
  const width = high - low > 0 ? high - low : Math.abs(high) || 1;
  const { bandwidth = 0.01 * width } = options;
  const from = low - 3 * bandwidth;
  const grid = Float64Array.from(
    { length: points },
    (_, k) => from + ((high - low + 6 * bandwidth) * k) / Math.max(1, points - 1),
  );
  return { nodes, weights, grid, density: broadened({ nodes, weights }, grid, bandwidth), bandwidth };
}

/**
 * Σₖ wₖ · N(t; λₖ, σ²) at each t of the grid: a spectrum as a density, also one known exactly.
 *
 *     broadened({ nodes: eigenvalues, weights: eigenvalues.map(() => 1 / n) }, grid, bandwidth);
 */
export function broadened({ nodes, weights }: Spectrum, grid: Float64Array, bandwidth: number): Float64Array {
  const height = 1 / (bandwidth * Math.sqrt(2 * Math.PI));
  return grid.map((t) => {
    let sum = 0;
    for (let k = 0; k < nodes.length; k++)
      sum += weights[k]! * Math.exp(-0.5 * ((t - nodes[k]!) / bandwidth) ** 2);
    return height * sum;
  });
}

/**
 * The magnitude |λ| below which a share `q` of the eigenvalues lies, 0 ≤ q ≤ 1.
 *
 *     magnitudeQuantile(spectralDensity(H), 0.9);
 */
export function magnitudeQuantile({ nodes, weights }: Spectrum, q: number): number {
  const order = Array.from(nodes.keys()).sort((a, b) => Math.abs(nodes[a]!) - Math.abs(nodes[b]!));
  let sum = 0;
  for (const k of order) {
    sum += weights[k]!;
    // The weights of all nodes sum to 1 up to rounding.
    if (sum >= q - 1e-12) return Math.abs(nodes[k]!);
  }
  return Math.abs(nodes[order.at(-1)!]!);
}
