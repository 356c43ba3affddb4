/** What is measured of a solution, and of the line between two; checked when it is read back. */
import * as v from "valibot";

/** JSON has no NaN: it writes null, which is read back as NaN. */
const number = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? Number.NaN),
);
const numbers = v.array(number);
const metrics = v.record(v.string(), number);
const rise = v.object({ first: number, most: number });

/** Metrics over all training data and over the test data; of data drawn without end, the loss over the batches. */
const placeSchema = v.object({ train: metrics, test: metrics });
export type Performance = v.InferOutput<typeof placeSchema>;

export const solutionSchema = v.object({
  ...placeSchema.entries,
  /** n, the number of parameters. */
  size: v.number(),
  /** Those of the batches on which what follows was measured, and the mean training loss of these. */
  examples: v.number(),
  batchLoss: number,
  gradientNorm: number,
  /** Of the Hessian, λ₁ ≥ λ₂ ≥ …, and its smallest. */
  eigenvalues: numbers,
  smallest: number,
  trace: v.object({ value: number, standardError: number }),
  /** Quadrature of the distribution of eigenvalues (spectral-density.ts). */
  spectrum: v.object({ nodes: numbers, weights: numbers }),
  sharpness: rise,
  adaptive: rise,
  /** ‖θ‖₂, and ‖θ − θ₀‖₂. */
  norm: number,
  moved: number,
});
export type Solution = v.InferOutput<typeof solutionSchema>;

export const lineSchema = v.object({
  distance: number,
  cosine: v.optional(number),
  /** At equal distances from the one solution to the other. */
  points: v.array(placeSchema),
  /**
   * The same to the other with its hidden units in the order that is closest to the first's (alignment.ts); absent for
   * networks of which that is not known.
   */
  aligned: v.optional(v.object({ distance: number, points: v.array(placeSchema) })),
});
export type Line = v.InferOutput<typeof lineSchema>;
