/** The networks that problems are made of, and their options as text. */
import {
  conv2d,
  dense,
  flatten,
  gelu,
  type Layer,
  maxPool2d,
  relu,
  sequential,
  sigmoid,
  silu,
  tanh,
} from "../../nn/index.js";
import { choice, text } from "../../optimizers/settings.js";

/** The functions between layers, by name. */
export const activations = { relu, tanh, gelu, silu, sigmoid } as const;
export type ActivationName = keyof typeof activations;

/** "256-128" as numbers; undefined when it is something else. */
export function widthsOf(given: string): number[] | undefined {
  if (given === "none") return [];
  const widths = given.split("-").map(Number);
  return widths.every((width) => Number.isInteger(width) && width >= 1 && width <= 1e6) ? widths : undefined;
}

export const activationOption = (fallback: ActivationName = "relu") =>
  choice<ActivationName>(
    fallback,
    Object.keys(activations) as ActivationName[],
    "the function between layers",
  );
export const hiddenOption = (fallback: string) =>
  text(
    fallback,
    "widths of the hidden layers",
    'whole numbers joined by "-", such as 256-128, or none',
    (given) => widthsOf(given) !== undefined,
  );
export const channelsOption = (fallback: string) =>
  text(
    fallback,
    "channels of the convolutions, 3×3 each and followed by 2×2 max pooling",
    'whole numbers joined by "-", such as 16-32',
    (given) => (widthsOf(given) ?? []).length > 0,
  );

/** flatten, then dense layers: hidden widths and `outputs`. */
export function mlp(hidden: string, activation: ActivationName, outputs: number): Layer {
  const between = widthsOf(hidden)!.flatMap((width) => [dense(width), activations[activation]()]);
  return sequential(flatten(), ...between, dense(outputs));
}

/** Convolutions with pooling, then a dense layer. */
export const cnn = (channels: string, activation: ActivationName, outputs: number): Layer =>
  sequential(...cnnFeatures(channels, activation), dense(outputs));

/** What is below the dense layer of `cnn`: images → features. */
export const cnnFeatures = (channels: string, activation: ActivationName): Layer[] => [
  ...widthsOf(channels)!.flatMap((width) => [
    conv2d(width, 3, { padding: "same" }),
    activations[activation](),
    maxPool2d(2),
  ]),
  flatten(),
];
