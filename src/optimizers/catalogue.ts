/**
 * What a method is to someone who chooses among them, as data: the command line, the documentation, the search over
 * settings and the advisor read it from here.
 */

/**
 * In the order in which they are shown: by what they know of the curvature.
 *
 *     families.indexOf(kfac.family)   // 5: "second order"
 */
export const families = [
  "first order",
  "layerwise",
  "diagonal curvature",
  "matrix preconditioner",
  "quasi-Newton",
  "second order",
  "hybrid",
] as const;
export type Family = (typeof families)[number];

/** What may be asked of an objective, by the names under which reports count it. */
export type Question =
  | "gradients"
  | "losses"
  | "hessianVectorProducts"
  | "gaussNewtonVectorProducts"
  | "fisherVectorProducts"
  | "empiricalFisherVectorProducts"
  /** Gradients at targets that the model draws. */
  | "sampledGradients"
  /** Gradients on a part of the batch. */
  | "sampleGradients"
  /** Gradients of sums of the examples' losses with random signs. */
  | "preconditionerGradients"
  /** Estimates of Kronecker factors. */
  | "factors"
  /** Kullback–Leibler divergences of the model at another θ. */
  | "divergences";

export interface Asks {
  readonly questions: readonly Question[];
  /** any: small ones too; large: noise of a small one harms; full: one that stays the same. */
  readonly batch: "any" | "large" | "full";
}

/** What happens to some arrays of θ. */
export interface Treatment {
  readonly arrays: string;
  readonly how: string;
}

/** A method that asks for gradients alone. */
export const gradients: Asks = { questions: ["gradients"], batch: "any" };

/** A method that knows no arrays, only elements. */
export const everyElement = (how: string): readonly Treatment[] => [{ arrays: "every element", how }];
