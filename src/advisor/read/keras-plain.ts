/** Keras layers without weights: what becomes of shapes. */
import * as v from "valibot";
import { AdvisorError } from "../error.js";
import { flag, whole, width } from "./fields.js";
import { type CallLayer, channelsLast, format, layerBy, padding, perAxis } from "./keras-call.js";
import { type Axis, axis, broadcast, placeOf, product, type Shape, slide } from "./keras-shape.js";

const returns = (...outputs: Shape[]) => ({ layers: [], outputs });
const none = v.object({});

const alike = layerBy(none, (_, { first }) => returns(first));

const merge = layerBy(none, (_, { all }, { label }) => returns(broadcast(all, label)));

const concatenate = layerBy(
  v.object({ axis: v.optional(v.pipe(v.number(), v.integer()), -1) }),
  (c, { first, all }, { label }) => {
    const k = placeOf(c.axis, first, label);
    const other = all.find((shape) => shape.length !== first.length);
    if (other) throw new AdvisorError(`${label}: its inputs have ${first.length} and ${other.length} axes`);
    const joined = all.map((shape) => shape[k]!);
    const size = joined.reduce((sum, part) => sum + part.size, 0);
    const rest = broadcast(
      all.map((shape) => shape.with(k, axis(1))),
      label,
    );
    return returns(
      rest.with(
        k,
        axis(
          size,
          joined.every(({ known }) => known),
        ),
      ),
    );
  },
);

const pool = (axes: 1 | 2) =>
  layerBy(
    v.object({
      pool_size: v.optional(perAxis(axes), 2),
      strides: v.nullish(perAxis(axes)),
      padding,
      data_format: format,
    }),
    (c, { first }, { label }) => {
      const { places, channels, back } = channelsLast(first, axes, c.data_format, label);
      const to = places.map((place, k) =>
        slide(place, { size: c.pool_size[k]!, stride: (c.strides ?? c.pool_size)[k]! }, c.padding, label),
      );
      return returns(back(to, channels));
    },
  );

const globalPool = (axes: 1 | 2) =>
  layerBy(v.object({ keepdims: flag(false), data_format: format }), (c, { first }, { label }) => {
    const { places, channels, back } = channelsLast(first, axes, c.data_format, label);
    return returns(
      c.keepdims
        ? back(
            places.map(() => axis(1)),
            channels,
          )
        : [channels],
    );
  });

const flatten = layerBy(none, (_, { first }) => returns([product(first)]));

const reshape = layerBy(
  v.object({
    target_shape: v.pipe(v.array(v.nullable(v.union([v.literal(-1), width]))), v.maxLength(8)),
  }),
  (c, { first }, { label }) => {
    const from = product(first);
    const set = c.target_shape.reduce<number>((all, size) => all * (size === null || size < 0 ? 1 : size), 1);
    const free = c.target_shape.filter((size) => size === null || size < 0).length;
    const left = from.size / set;
    if (free > 1 || (from.known && (free === 0 ? left !== 1 : !Number.isInteger(left))))
      throw new AdvisorError(`${label}: ${from.size} numbers do not fit into [${c.target_shape.join(", ")}]`);
    return returns(
      c.target_shape.map((size) =>
        size === null || size < 0 ? axis(Math.max(1, Math.round(left)), from.known) : axis(size),
      ),
    );
  },
);

const permute = layerBy(
  v.object({ dims: v.pipe(v.array(whole(8)), v.maxLength(8)) }),
  (c, { first }, { label }) => {
    if (new Set(c.dims).size !== first.length || c.dims.length !== first.length)
      throw new AdvisorError(`${label}: dims [${c.dims.join(", ")}] are no order of ${first.length} axes`);
    return returns(c.dims.map((k) => first[placeOf(k, first, label)]!));
  },
);

const repeat = layerBy(v.object({ n: width }), (c, { first }) => returns([axis(c.n), ...first]));

const edge = whole(10_000, 0);
const edges = v.pipe(
  v.array(v.union([edge, v.pipe(v.array(edge), v.length(2))], "must be whole numbers")),
  v.minLength(1),
  v.maxLength(2),
);
const sum = (numbers: readonly number[]) => numbers.reduce((all, n) => all + n, 0);

/** What is added before and after each axis: one number for both, or two. */
const widen = (axes: 1 | 2, field: "padding" | "cropping", sign: 1 | -1) =>
  layerBy(
    v.pipe(
      v.object({ [field]: v.union([edge, edges]), data_format: v.optional(v.unknown()) }),
      v.transform((given) => ({
        by: given[field] as number | (number | number[])[],
        order: given.data_format,
      })),
    ),
    (c, { first }, { label }) => {
      const order = c.order === "channels_first" ? c.order : "channels_last";
      const { places, channels, back } = channelsLast(first, axes, order, label);
      const of = (k: number): number => {
        if (typeof c.by === "number") return 2 * c.by;
        // [before, after] of a sequence.
        if (axes === 1) return sum(c.by.flat());
        const both = c.by[k] ?? 0;
        return typeof both === "number" ? 2 * both : sum(both);
      };
      return returns(
        back(
          places.map(({ size, known }, k): Axis => {
            const to = size + sign * of(k);
            if (to < 1 && known)
              throw new AdvisorError(`${label}: ${of(k)} cannot be cut off its input of ${size}`);
            return axis(Math.max(to, 1), known);
          }),
          channels,
        ),
      );
    },
  );

const enlarge = (axes: 1 | 2) =>
  layerBy(
    v.object({ size: v.optional(perAxis(axes), 2), data_format: format }),
    (c, { first }, { label }) => {
      const { places, channels, back } = channelsLast(first, axes, c.data_format, label);
      return returns(
        back(
          places.map(({ size, known }, k) => axis(size * c.size[k]!, known)),
          channels,
        ),
      );
    },
  );

const byName = (names: string, call: CallLayer): [string, CallLayer][] =>
  names.split(" ").map((name) => [name, call]);

export const plain: Readonly<Record<string, CallLayer>> = Object.fromEntries([
  ...byName(
    "Activation Dropout SpatialDropout1D SpatialDropout2D GaussianDropout GaussianNoise AlphaDropout ReLU LeakyReLU ELU Softmax Masking ActivityRegularization Identity UnitNormalization Normalization Rescaling RandomFlip RandomRotation RandomZoom RandomContrast RandomTranslation RandomBrightness",
    alike,
  ),
  ...byName("Add Subtract Multiply Average Maximum Minimum", merge),
  ...byName("MaxPooling1D AveragePooling1D", pool(1)),
  ...byName("MaxPooling2D AveragePooling2D", pool(2)),
  ...byName("GlobalMaxPooling1D GlobalAveragePooling1D", globalPool(1)),
  ...byName("GlobalMaxPooling2D GlobalAveragePooling2D", globalPool(2)),
  ["Concatenate", concatenate],
  ["Flatten", flatten],
  ["Reshape", reshape],
  ["Permute", permute],
  ["RepeatVector", repeat],
  ["ZeroPadding1D", widen(1, "padding", 1)],
  ["ZeroPadding2D", widen(2, "padding", 1)],
  ["Cropping1D", widen(1, "cropping", -1)],
  ["Cropping2D", widen(2, "cropping", -1)],
  ["UpSampling1D", enlarge(1)],
  ["UpSampling2D", enlarge(2)],
]);
