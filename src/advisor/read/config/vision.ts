/** Classifiers of images: vision transformers and residual networks. */
import * as v from "valibot";
import type { LayerShape } from "../../../curvature/model-shape.js";
import { AdvisorError } from "../../error.js";
import { flag, whole, width } from "../fields.js";
import { convLayer, denseLayer, normLayer, otherLayer } from "../layers.js";
import { encoderBlock } from "./encoders.js";
import { attentionNote, depth, type Family, labels, labelsOf, noLabels, parse, repeat } from "./family.js";

const vitConfig = v.object({
  hidden_size: width,
  intermediate_size: width,
  num_hidden_layers: depth,
  image_size: whole(100_000),
  patch_size: whole(100_000),
  num_channels: v.optional(width, 3),
  qkv_bias: flag(true),
  ...labels,
});

export const vit: Family = {
  read(config) {
    const c = parse(vitConfig, config);
    const d = c.hidden_size;
    const side = Math.floor(c.image_size / c.patch_size);
    if (side === 0)
      throw new AdvisorError(
        `config.json: patch_size ${c.patch_size} is larger than image_size ${c.image_size}`,
      );
    const positions = side * side + 1;
    const outputs = labelsOf(c);
    return {
      kind: "transformer",
      task: "image-classification",
      example: `image of ${c.image_size}×${c.image_size}`,
      layers: [
        otherLayer("embeddings.cls_token", [1, 1, d]),
        otherLayer("embeddings.position_embeddings", [1, positions, d]),
        convLayer("embeddings.patch_embeddings", [c.patch_size, c.patch_size, c.num_channels, d], {
          positions: side * side,
        }),
        ...repeat(c.num_hidden_layers, (k) =>
          encoderBlock(`encoder.layer.${k}`, d, c.intermediate_size, positions, c.qkv_bias),
        ),
        normLayer("layernorm", d, { positions }),
        ...(outputs > 0 ? [denseLayer("classifier", d, outputs)] : []),
      ],
      otherForwardFlops: 4 * positions ** 2 * d * c.num_hidden_layers,
      notes: [attentionNote, ...(outputs > 0 ? [] : [noLabels])],
    };
  },
};

const resnetConfig = v.object({
  num_channels: v.optional(width, 3),
  embedding_size: v.optional(width, 64),
  hidden_sizes: v.pipe(v.array(width), v.minLength(1), v.maxLength(100)),
  depths: v.pipe(v.array(whole(1000)), v.minLength(1), v.maxLength(100)),
  layer_type: v.optional(v.picklist(["basic", "bottleneck"], "must be basic or bottleneck"), "bottleneck"),
  downsample_in_first_stage: flag(false),
  downsample_in_bottleneck: flag(false),
  ...labels,
});

const imageSize = 224;

/** Residual networks (He et al. 2015), with the stride in the 3×3 convolution unless downsample_in_bottleneck. */
export const resnet: Family = {
  read(config) {
    const c = parse(resnetConfig, config);
    if (c.hidden_sizes.length !== c.depths.length)
      throw new AdvisorError(
        `config.json: hidden_sizes has ${c.hidden_sizes.length} stages, depths has ${c.depths.length}`,
      );
    const layers: LayerShape[] = [];
    const convolution = (name: string, size: number, inputs: number, outputs: number, side: number) =>
      layers.push(
        convLayer(`${name}.convolution`, [size, size, inputs, outputs], {
          bias: false,
          positions: side ** 2,
        }),
        normLayer(`${name}.normalization`, outputs, { positions: side ** 2 }),
      );
    let side = Math.ceil(imageSize / 2);
    convolution("embedder.embedder", 7, c.num_channels, c.embedding_size, side);
    side = Math.ceil(side / 2);
    let inputs = c.embedding_size;
    for (const [s, outputs] of c.hidden_sizes.entries())
      for (let k = 0; k < c.depths[s]!; k++) {
        const name = `encoder.stages.${s}.layers.${k}`;
        const before = side;
        if (k === 0 && (s > 0 || c.downsample_in_first_stage)) side = Math.ceil(side / 2);
        if (inputs !== outputs || side !== before) convolution(`${name}.shortcut`, 1, inputs, outputs, side);
        if (c.layer_type === "basic") {
          convolution(`${name}.layer.0`, 3, inputs, outputs, side);
          convolution(`${name}.layer.1`, 3, outputs, outputs, side);
        } else {
          const reduced = Math.floor(outputs / 4) || 1;
          convolution(`${name}.layer.0`, 1, inputs, reduced, c.downsample_in_bottleneck ? side : before);
          convolution(`${name}.layer.1`, 3, reduced, reduced, side);
          convolution(`${name}.layer.2`, 1, reduced, outputs, side);
        }
        inputs = outputs;
      }
    const outputs = labelsOf(c);
    if (outputs > 0) layers.push(denseLayer("classifier.1", inputs, outputs));
    return {
      kind: "convolutional",
      task: "image-classification",
      example: `image of ${imageSize}×${imageSize}`,
      layers,
      otherForwardFlops: 0,
      notes: [
        `images of ${imageSize}×${imageSize} are assumed: the file does not tell their size`,
        ...(outputs > 0 ? [] : [noLabels]),
      ],
    };
  },
};
