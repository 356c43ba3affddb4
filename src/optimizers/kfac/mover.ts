/** What moves θ once the preconditioned gradient is known: by a KL clip, or by the quadratic model. */
import type { Buffer } from "../../runtime/memory.js";
import type { Point } from "../evaluation.js";

/** What happened to θ. */
export interface Outcome {
  readonly learningRate?: number;
  readonly accepted: boolean;
  readonly losses?: number;
  readonly products?: number;
  readonly diagnostics: Readonly<Record<string, number | string | boolean | undefined>>;
}

/** How far the optimizer goes along F⁻¹g. */
export interface Mover {
  readonly state: Readonly<Record<string, Buffer>>;
  move(point: Point): Outcome;
  release(): void;
}

/** Scalars that methods keep, f64: λ and γ. */
export interface Dampings {
  readonly lambda: Buffer;
  readonly gamma: Buffer;
}
