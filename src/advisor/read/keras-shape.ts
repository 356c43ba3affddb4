/**
 * Shapes of a Keras model's activations without the batch. An axis that the file leaves open (null) is given a size, so
 * that places can be counted, and stays unknown: no weight can be made of it.
 */
import * as v from "valibot";
import { AdvisorError } from "../error.js";
import { whole } from "./fields.js";

export interface Axis {
  readonly size: number;
  /** Whether the file tells it. */
  readonly known: boolean;
}

export type Shape = readonly Axis[];

/** Sizes of open axes. */
export interface Open {
  readonly tokens: number;
  readonly side: number;
}

export const axis = (size: number, known = true): Axis => ({ size, known });

/** A shape with its batch, as Keras writes it. */
export const sizes = v.pipe(v.array(v.nullable(whole(1e8))), v.minLength(1), v.maxLength(8));

/** Images have sides and channels, sequences steps and perhaps a width. */
export const shapeOf = ([, ...rest]: v.InferOutput<typeof sizes>, { tokens, side }: Open): Shape =>
  rest.map((size, k) =>
    size === null ? axis(rest.length >= 3 ? side : k === 0 ? tokens : 1, false) : axis(size),
  );

export const product = (axes: Shape): Axis =>
  axes.reduce((all, { size, known }) => axis(all.size * size, all.known && known), axis(1));

/** How many numbers a weight has along an axis. */
export function widthOf(found: Axis | undefined, layer: string): number {
  if (found?.known) return found.size;
  throw new AdvisorError(
    found
      ? `${layer}: the width of its input is open (null) in the file; give the model an input of a set shape`
      : `${layer}: its input has too few axes`,
  );
}

/** Places of a window that slides along an axis. */
export function slide(
  { size, known }: Axis,
  window: { readonly size: number; readonly stride: number; readonly dilation?: number },
  padding: "valid" | "same" | "causal",
  layer: string,
): Axis {
  const reach = (window.size - 1) * (window.dilation ?? 1) + 1;
  const places =
    padding === "valid" ? Math.floor((size - reach) / window.stride) + 1 : Math.ceil(size / window.stride);
  if (places < 1 && known)
    throw new AdvisorError(`${layer}: a window of ${reach} does not fit into its input of ${size}`);
  return axis(Math.max(places, 1), known);
}

/** Elementwise on several inputs: axes are aligned from the last one, and those of size 1 repeated. */
export function broadcast(inputs: readonly Shape[], layer: string): Shape {
  const rank = inputs.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: rank }, (_, k) =>
    inputs.reduce((all, shape) => {
      const next = shape[k - rank + shape.length];
      if (!next || (next.size === 1 && next.known)) return all;
      if (all.size === 1 && all.known) return next;
      if (all.size !== next.size && all.known && next.known)
        throw new AdvisorError(`${layer}: its inputs have ${all.size} and ${next.size} along one axis`);
      return all.known ? all : next;
    }, axis(1)),
  );
}

/** The place of an axis that Keras counts with the batch, or from the end. */
export function placeOf(place: number, { length }: Shape, layer: string): number {
  const k = place < 0 ? length + place : place - 1;
  if (k < 0 || k >= length) throw new AdvisorError(`${layer}: axis ${place} is not in its input`);
  return k;
}
