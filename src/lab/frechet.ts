/**
 * How far drawn samples are from real ones: the Fréchet distance of two normal distributions with their means and
 * covariances (Dowson & Landau 1982), which Heusel et al. 2017 ("GANs trained by a two time-scale update rule") made the
 * measure of generators. There the samples are features of a network; here they are the first k principal components
 * of the real ones, for images of few pixels:
 *
 *     d² = ‖μ − μ̂‖² + tr(Λ + Ĉ − 2 (Λ^½ Ĉ Λ^½)^½),     Λ the diagonal of the real components' variances
 */
import type { Runtime } from "../runtime/runtime.js";
import type { Data } from "../tensor/dtype.js";

export interface Components {
  /** Means [width], directions [k, width] and variances [k], largest first. */
  readonly mean: Float64Array;
  readonly directions: Float64Array;
  readonly variances: Float64Array;
}

/**
 * The first k principal components of samples [count, width].
 *
 * @example principalComponents(runtime, images, 196, 20)
 */
export function principalComponents(runtime: Runtime, samples: Data, width: number, k: number): Components {
  const { mean, covariance } = moments(samples, width);
  const { values, vectors } = symmetricEigen(runtime, covariance, width);
  const order = Array.from({ length: k }, (_, i) => width - 1 - i);
  return {
    mean,
    variances: Float64Array.from(order, (row) => values[row]!),
    directions: Float64Array.from(
      order.flatMap((row) => [...vectors.subarray(row * width, (row + 1) * width)]),
    ),
  };
}

/** d² between the real samples that the components are of and others [count, width]; NaN where one is not finite. */
export function frechetDistance(
  runtime: Runtime,
  { mean, directions, variances }: Components,
  samples: Data,
): number {
  const [width, k] = [mean.length, variances.length];
  const count = samples.length / width;
  const projected = new Float64Array(count * k);
  for (let n = 0; n < count; n++)
    for (let i = 0; i < k; i++) {
      let sum = 0;
      for (let j = 0; j < width; j++)
        sum += (samples[n * width + j]! - mean[j]!) * directions[i * width + j]!;
      projected[n * k + i] = sum;
    }
  if (!projected.every(Number.isFinite)) return Number.NaN;
  const drawn = moments(projected, k);
  let distance = drawn.mean.reduce((sum, shift) => sum + shift ** 2, 0);
  const product = new Float64Array(k * k);
  for (let i = 0; i < k; i++) {
    distance += variances[i]! + drawn.covariance[i * k + i]!;
    for (let j = 0; j < k; j++)
      product[i * k + j] = Math.sqrt(variances[i]! * variances[j]!) * drawn.covariance[i * k + j]!;
  }
  const { values } = symmetricEigen(runtime, product, k);
  return distance - 2 * values.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
}

/** Mean [width] and covariance [width, width] of samples [count, width]. */
function moments(samples: Data, width: number): { mean: Float64Array; covariance: Float64Array } {
  const count = samples.length / width;
  const mean = new Float64Array(width);
  for (let k = 0; k < samples.length; k++) mean[k % width]! += samples[k]! / count;
  const covariance = new Float64Array(width * width);
  const centered = new Float64Array(width);
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < width; i++) centered[i] = samples[n * width + i]! - mean[i]!;
    for (let i = 0; i < width; i++)
      for (let j = 0; j <= i; j++) covariance[i * width + j]! += (centered[i]! * centered[j]!) / count;
  }
  for (let i = 0; i < width; i++)
    for (let j = 0; j < i; j++) covariance[j * width + i] = covariance[i * width + j]!;
  return { mean, covariance };
}

/** Eigenvalues, ascending, and eigenvectors as rows. */
function symmetricEigen(
  runtime: Runtime,
  matrix: Float64Array,
  n: number,
): { values: Float64Array; vectors: Float64Array } {
  const [vectors, values] = [runtime.buffer("f64", [n, n]), runtime.buffer("f64", [n])];
  vectors.set(matrix);
  const failed = runtime.blas.functions.dsyevd(n, vectors.address, n, values.address) !== 0;
  const found = { values: Float64Array.from(values.data), vectors: Float64Array.from(vectors.data) };
  vectors.release();
  values.release();
  if (failed) throw new Error("symmetricEigen: the iteration did not converge");
  return found;
}
