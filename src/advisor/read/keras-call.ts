/** A call of a Keras layer: what goes in, what comes out, and the fields that many layers share. */
import * as v from "valibot";
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { parseFields, whole } from "./fields.js";
import type { Shape } from "./keras-shape.js";

/** What one call of a layer does to one example. */
export interface Called {
  readonly layers: readonly LayerShape[];
  /** Of its outputs; the last one stands for any further. */
  readonly outputs: readonly (Shape | undefined)[];
  /** Beside the products of its layers. */
  readonly flops?: number;
}

/** A layer while it is called: its path, and what messages call it. */
export interface Named {
  readonly path: string;
  readonly label: string;
}

/** Inputs in the order of Keras's call(): those that are given by name stand at `named`. */
export interface Inputs {
  readonly first: Shape;
  readonly all: readonly Shape[];
  readonly named: ReadonlyMap<string, Shape>;
}

export type CallLayer = (config: unknown, inputs: Inputs, layer: Named) => Called;

/** A layer by the fields of its config and what it does with them. */
export const layerBy =
  <S extends v.GenericSchema>(
    schema: S,
    call: (fields: v.InferOutput<S>, inputs: Inputs, layer: Named) => Called,
  ): CallLayer =>
  (config, inputs, layer) =>
    call(parseFields(schema, config, layer.label), inputs, layer);

const small = whole(10_000);
/** One number for each of so many axes, or one for all. */
export const perAxis = (axes: number) =>
  v.pipe(
    v.union([small, v.array(small)], "must be a whole number for each axis"),
    v.transform((given) => (Array.isArray(given) ? given : Array<number>(axes).fill(given))),
    v.check((given) => given.length === axes, `must have ${axes} numbers`),
  );
export const padding = v.optional(v.picklist(["valid", "same", "causal"]), "valid");
export const format = v.nullish(v.picklist(["channels_last", "channels_first"]), "channels_last");

/** An image or sequence with its channels last, and back. */
export function channelsLast(shape: Shape, axes: number, order: string | null, label: string) {
  if (shape.length !== axes + 1)
    throw new AdvisorError(`${label}: its input has ${shape.length} axes beside the batch, not ${axes + 1}`);
  const first = order === "channels_first";
  return {
    places: first ? shape.slice(1) : shape.slice(0, -1),
    channels: first ? shape[0]! : shape.at(-1)!,
    back: (places: Shape, channels: Shape[number]): Shape =>
      first ? [channels, ...places] : [...places, channels],
  };
}
