/**
 * Keras layers that have weights: what they are made of, and the shape of what they return. Numbers of weights are those
 * that Keras trains; the moving statistics of BatchNormalization are none.
 */
import * as v from "valibot";
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { flag, width } from "./fields.js";
import {
  type Called,
  type CallLayer,
  channelsLast,
  format,
  layerBy,
  padding,
  perAxis,
} from "./keras-call.js";
import { axis, placeOf, product, type Shape, slide, widthOf } from "./keras-shape.js";
import { convLayer, denseLayer, embeddingLayer, normLayer, otherLayer } from "./layers.js";

const dense = layerBy(v.object({ units: width, use_bias: flag(true) }), (c, { first }, { path, label }) => ({
  layers: [
    denseLayer(path, widthOf(first.at(-1), label), c.units, {
      bias: c.use_bias,
      positions: product(first.slice(0, -1)).size,
    }),
  ],
  outputs: [[...first.slice(0, -1), axis(c.units)]],
}));

const windows = (axes: number) => ({
  kernel_size: perAxis(axes),
  strides: v.optional(perAxis(axes), 1),
  dilation_rate: v.optional(perAxis(axes), 1),
  padding,
  data_format: format,
  use_bias: flag(true),
});

/** dense: all inputs to all outputs. depthwise: each input to `depth_multiplier`. separable: that, then 1×1. */
const convolution = (axes: 1 | 2, how: "dense" | "depthwise" | "separable") =>
  layerBy(
    v.object({
      ...windows(axes),
      filters: how === "depthwise" ? v.optional(width, 1) : width,
      groups: v.optional(width, 1),
      depth_multiplier: v.optional(width, 1),
    }),
    (c, { first }, { path, label }) => {
      const { places, channels, back } = channelsLast(first, axes, c.data_format, label);
      const inputs = widthOf(channels, label);
      const to = places.map((place, k) =>
        slide(
          place,
          { size: c.kernel_size[k]!, stride: c.strides[k]!, dilation: c.dilation_rate[k]! },
          c.padding,
          label,
        ),
      );
      const positions = product(to).size;
      const [height, wide] = axes === 1 ? [1, c.kernel_size[0]!] : (c.kernel_size as [number, number]);
      const outputs = how === "depthwise" ? inputs * c.depth_multiplier : c.filters;
      const result = (layers: LayerShape[], flops = 0): Called => ({
        layers,
        outputs: [back(to, axis(outputs))],
        flops,
      });
      if (how === "dense" && c.groups === 1)
        return result([convLayer(path, [height, wide, inputs, outputs], { bias: c.use_bias, positions })]);
      // No Kronecker factors: kernels of groups are counted by elements.
      const [into, from] = how === "dense" ? [inputs / c.groups, outputs] : [inputs, c.depth_multiplier];
      if (!Number.isInteger(into) || outputs % c.groups !== 0)
        throw new AdvisorError(
          `${label}: ${inputs} inputs and ${outputs} outputs are not of ${c.groups} groups`,
        );
      const name = how === "dense" ? `${path}.weight` : `${path}.depthwise`;
      const grouped = otherLayer(name, [...c.kernel_size, into, from]);
      const flops = 2 * height * wide * into * from * positions;
      if (how === "separable")
        return result(
          [
            grouped,
            convLayer(`${path}.pointwise`, [1, 1, into * from, outputs], { bias: c.use_bias, positions }),
          ],
          flops,
        );
      return result([grouped, ...(c.use_bias ? [otherLayer(`${path}.bias`, [outputs])] : [])], flops);
    },
  );

const embedding = layerBy(v.object({ input_dim: width, output_dim: width }), (c, { first }, { path }) => ({
  layers: [embeddingLayer(path, c.input_dim, c.output_dim, { positions: product(first).size })],
  outputs: [[...first, axis(c.output_dim)]],
}));

/**
 * A recurrence with so many gates: [x, h] → gates · units at each of the T steps. A GRU with reset_after has a bias of
 * its recurrent product too (cuDNN's form).
 */
const recurrent = (gates: number, states: number) =>
  layerBy(
    v.object({
      units: width,
      use_bias: flag(true),
      return_sequences: flag(false),
      return_state: flag(false),
      reset_after: flag(false),
    }),
    (c, { first }, { path, label }) => {
      if (first.length !== 2)
        throw new AdvisorError(`${label}: its input has ${first.length} axes beside the batch, not 2`);
      const steps = first[0]!.size;
      const state = [axis(c.units)];
      return {
        layers: [
          denseLayer(path, widthOf(first[1], label), gates * c.units, { bias: c.use_bias, positions: steps }),
          denseLayer(`${path}/recurrent`, c.units, gates * c.units, {
            bias: c.use_bias && c.reset_after,
            positions: steps,
            uses: steps,
          }),
        ],
        outputs: [
          c.return_sequences ? [first[0]!, axis(c.units)] : state,
          ...(c.return_state ? Array<Shape>(states).fill(state) : []),
        ],
      };
    },
  );

const place = v.pipe(v.number(), v.integer());

const norm = layerBy(
  v.object({
    axis: v.optional(v.union([place, v.pipe(v.array(place), v.minLength(1), v.maxLength(8))]), -1),
    scale: flag(true),
    center: flag(true),
    /** Of LayerNormalization: a scale only. */
    rms_scaling: flag(false),
  }),
  (c, { first }, { path, label }) => {
    const normed = [c.axis].flat().map((k) => placeOf(k, first, label));
    const size = normed.reduce((all, k) => all * widthOf(first[k], label), 1);
    const positions = product(first.filter((_, k) => !normed.includes(k))).size;
    const bias = c.center && !c.rms_scaling;
    const shift = bias ? [otherLayer(`${path}.bias`, [size])] : [];
    return {
      layers: c.scale || c.rms_scaling ? [normLayer(path, size, { bias, positions })] : shift,
      outputs: [first],
    };
  },
);

const attention = layerBy(
  v.object({
    num_heads: width,
    key_dim: width,
    value_dim: v.nullish(width),
    use_gate: v.optional(v.literal(false, "gated attention is not read"), false),
    use_bias: flag(true),
    output_shape: v.nullish(v.union([width, v.pipe(v.array(width), v.minLength(1), v.maxLength(1))])),
  }),
  (c, { all, named }, { path, label }) => {
    const query = named.get("query") ?? all[0];
    const value = named.get("value") ?? all[1] ?? query;
    const key = named.get("key") ?? all[2] ?? value;
    if (!query || !value || !key) throw new AdvisorError(`${label}: it has no query`);
    const [keys, values] = [c.num_heads * c.key_dim, c.num_heads * (c.value_dim ?? c.key_dim)];
    const [outputs = widthOf(query.at(-1), label)] = [c.output_shape ?? []].flat();
    const [from, to] = [query, value].map((shape) => product(shape.slice(0, -1)).size) as [number, number];
    const map = (name: string, inputs: Shape, width: number, positions: number) =>
      denseLayer(`${path}/${name}`, widthOf(inputs.at(-1), label), width, { bias: c.use_bias, positions });
    return {
      layers: [
        map("query", query, keys, from),
        map("key", key, keys, to),
        map("value", value, values, to),
        map("attention_output", [axis(values)], outputs, from),
      ],
      outputs: [[...query.slice(0, -1), axis(outputs)]],
      flops: 2 * from * to * (keys + values),
    };
  },
);

const prelu = layerBy(
  v.object({ shared_axes: v.nullish(v.pipe(v.array(place), v.maxLength(8))) }),
  (c, { first }, { path, label }) => {
    const shared = (c.shared_axes ?? []).map((k) => placeOf(k, first, label));
    const alpha = first.map((found, k) => (shared.includes(k) ? 1 : widthOf(found, label)));
    return { layers: [otherLayer(`${path}.alpha`, alpha)], outputs: [first] };
  },
);

export const weighted: Readonly<Record<string, CallLayer>> = {
  Dense: dense,
  Conv1D: convolution(1, "dense"),
  Conv2D: convolution(2, "dense"),
  DepthwiseConv1D: convolution(1, "depthwise"),
  DepthwiseConv2D: convolution(2, "depthwise"),
  SeparableConv1D: convolution(1, "separable"),
  SeparableConv2D: convolution(2, "separable"),
  Embedding: embedding,
  SimpleRNN: recurrent(1, 1),
  GRU: recurrent(3, 1),
  LSTM: recurrent(4, 2),
  BatchNormalization: norm,
  LayerNormalization: norm,
  GroupNormalization: norm,
  MultiHeadAttention: attention,
  PReLU: prelu,
};
