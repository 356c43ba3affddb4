/**
 * What a call of a Keras layer reads. Keras 2 writes [[layer, call, tensor, {…}], …], Keras 3 {args, kwargs} of tensors
 * that hold keras_history: [layer, call, tensor], and their shape.
 */
import * as v from "valibot";
import { isObject } from "./json.js";
import { sizes } from "./keras-shape.js";

export type Sizes = v.InferOutput<typeof sizes>;

export const isShape = (value: unknown): value is Sizes => v.is(sizes, value);

/** A reference as the file has it. */
export interface Written {
  readonly layer: string;
  readonly call: number;
  readonly tensor: number;
  /** The argument that it is given as, where it is named. */
  readonly argument: string | undefined;
  readonly shape: Sizes | undefined;
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The references in a structure of lists and objects, in order. */
export function* referencesIn(
  value: unknown,
  argument: string | undefined,
  shape?: Sizes,
): Generator<Written, void, undefined> {
  if (Array.isArray(value)) {
    const [layer, call, tensor, further] = value as unknown[];
    if (typeof layer === "string" && isIndex(call) && isIndex(tensor)) {
      yield { layer, call, tensor, argument, shape };
      if (isObject(further))
        for (const [name, given] of Object.entries(further)) yield* referencesIn(given, name);
    } else for (const part of value) yield* referencesIn(part, argument);
  } else if (isObject(value) && isObject(value.config) && value.class_name === "__keras_tensor__")
    yield* referencesIn(
      value.config.keras_history,
      argument,
      isShape(value.config.shape) ? value.config.shape : undefined,
    );
  else if (isObject(value) && isObject(value.kwargs)) {
    yield* referencesIn(value.args, argument);
    for (const [name, given] of Object.entries(value.kwargs)) yield* referencesIn(given, name);
  } else if (isObject(value)) for (const part of Object.values(value)) yield* referencesIn(part, argument);
}
