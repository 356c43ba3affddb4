/** Encoders of text: BERT, RoBERTa, DistilBERT; their block is the one of vision transformers too. */
import * as v from "valibot";
import type { LayerShape } from "../../../curvature/model-shape.js";
import { width } from "../fields.js";
import { denseLayer, embeddingLayer, normLayer } from "../layers.js";
import {
  attentionNote,
  depth,
  type Family,
  type Parts,
  parse,
  repeat,
  sequence,
  tokensOf,
} from "./family.js";

const bertConfig = v.object({
  model_type: v.string(),
  vocab_size: width,
  hidden_size: width,
  intermediate_size: width,
  num_hidden_layers: depth,
  max_position_embeddings: width,
  type_vocab_size: v.optional(width, 2),
});

/** BERT and RoBERTa: the encoder and its pooler. */
export const bert: Family = {
  read(config, given) {
    const c = parse(bertConfig, config);
    const d = c.hidden_size;
    // RoBERTa keeps the first two rows of its table of positions for padding.
    const longest = c.model_type === "bert" ? c.max_position_embeddings : c.max_position_embeddings - 2;
    const positions = tokensOf(given, Math.max(1, longest));
    return encoder({
      positions,
      hidden: d,
      inner: c.intermediate_size,
      depth: c.num_hidden_layers,
      tables: [
        ["embeddings.word_embeddings", c.vocab_size],
        ["embeddings.position_embeddings", c.max_position_embeddings],
        ["embeddings.token_type_embeddings", c.type_vocab_size],
      ],
      after: [denseLayer("pooler.dense", d, d)],
      notes: ["the encoder with its pooler; heads of tasks are not counted"],
    });
  },
};

const distilbertConfig = v.object({
  vocab_size: width,
  dim: width,
  hidden_dim: width,
  n_layers: depth,
  max_position_embeddings: width,
});

export const distilbert: Family = {
  read(config, given) {
    const c = parse(distilbertConfig, config);
    return encoder({
      positions: tokensOf(given, c.max_position_embeddings),
      hidden: c.dim,
      inner: c.hidden_dim,
      depth: c.n_layers,
      tables: [
        ["embeddings.word_embeddings", c.vocab_size],
        ["embeddings.position_embeddings", c.max_position_embeddings],
      ],
      after: [],
      notes: ["the encoder; heads of tasks are not counted"],
    });
  },
};

export function encoder(given: {
  readonly positions: number;
  readonly hidden: number;
  readonly inner: number;
  readonly depth: number;
  readonly tables: readonly (readonly [name: string, rows: number])[];
  readonly after: readonly LayerShape[];
  readonly notes: readonly string[];
}): Parts {
  const { positions, hidden, inner, depth, tables, after, notes } = given;
  return {
    kind: "transformer",
    example: sequence(positions),
    layers: [
      ...tables.map(([name, rows]) => embeddingLayer(name, rows, hidden, { positions })),
      normLayer("embeddings.LayerNorm", hidden, { positions }),
      ...repeat(depth, (k) => encoderBlock(`encoder.layer.${k}`, hidden, inner, positions, true)),
      ...after,
    ],
    otherForwardFlops: 4 * positions ** 2 * hidden * depth,
    notes: [...notes, attentionNote],
  };
}

/** Attention over all places and two feed-forward layers, each with its norm: BERT's block and ViT's. */
export const encoderBlock = (name: string, d: number, inner: number, positions: number, bias: boolean) => [
  denseLayer(`${name}.attention.query`, d, d, { bias, positions }),
  denseLayer(`${name}.attention.key`, d, d, { bias, positions }),
  denseLayer(`${name}.attention.value`, d, d, { bias, positions }),
  denseLayer(`${name}.attention.output`, d, d, { positions }),
  normLayer(`${name}.attention.norm`, d, { positions }),
  denseLayer(`${name}.intermediate`, d, inner, { positions }),
  denseLayer(`${name}.output`, inner, d, { positions }),
  normLayer(`${name}.norm`, d, { positions }),
];
