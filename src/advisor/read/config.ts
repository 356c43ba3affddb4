/**
 * A transformer or residual network from its Hugging Face config.json: the file gives widths and depths, the family
 * gives the layers. Names and shapes are those of the family's checkpoints, so parameters count as published.
 */
import * as v from "valibot";
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { flag, parseFields, whole, width } from "./fields.js";
import { convLayer, countable, denseLayer, embeddingLayer, normLayer, otherLayer } from "./layers.js";

const depth = whole(10_000);

type Parts = Omit<Architecture, "name" | "storedBytes" | "activations">;
interface Family {
  read(config: unknown, tokens: number | undefined): Parts;
}

const gpt2Config = v.object({
  vocab_size: width,
  n_positions: width,
  n_embd: width,
  n_layer: depth,
  n_inner: v.nullish(width),
  tie_word_embeddings: flag(true),
});

const gpt2: Family = {
  read(config, given) {
    const c = parse(gpt2Config, config);
    const [d, inner] = [c.n_embd, c.n_inner ?? 4 * c.n_embd];
    const positions = tokensOf(given, c.n_positions);
    const block = (k: number) => {
      const name = `h.${k}`;
      return [
        normLayer(`${name}.ln_1`, d, { positions }),
        denseLayer(`${name}.attn.c_attn`, d, 3 * d, { positions }),
        denseLayer(`${name}.attn.c_proj`, d, d, { positions }),
        normLayer(`${name}.ln_2`, d, { positions }),
        denseLayer(`${name}.mlp.c_fc`, d, inner, { positions }),
        denseLayer(`${name}.mlp.c_proj`, inner, d, { positions }),
      ];
    };
    return language({
      tokens: positions,
      attention: c.n_layer * d,
      table: ["wte", c.vocab_size, d],
      head: c.tie_word_embeddings ? undefined : "lm_head",
      layers: [
        embeddingLayer("wpe", c.n_positions, d, { positions }),
        ...repeat(c.n_layer, block),
        normLayer("ln_f", d, { positions }),
      ],
      notes: ["queries, keys and values are one layer (attn.c_attn)"],
    });
  },
};

const llamaConfig = v.object({
  model_type: v.string(),
  vocab_size: width,
  hidden_size: width,
  intermediate_size: width,
  num_hidden_layers: depth,
  num_attention_heads: width,
  num_key_value_heads: v.nullish(width),
  head_dim: v.nullish(width),
  max_position_embeddings: width,
  tie_word_embeddings: flag(false),
  attention_bias: flag(false),
  mlp_bias: flag(false),
});

/** Llama and its kin: gated feed-forward layers, norms without shift, keys and values for groups of heads. */
const llama: Family = {
  read(config, given) {
    const c = parse(llamaConfig, config);
    const [d, inner, heads] = [c.hidden_size, c.intermediate_size, c.num_attention_heads];
    const head = c.head_dim ?? d / heads;
    const groups = c.num_key_value_heads ?? heads;
    if (!Number.isInteger(head))
      throw new AdvisorError(`config.json: hidden_size ${d} is no multiple of num_attention_heads ${heads}`);
    if (heads % groups !== 0)
      throw new AdvisorError(
        `config.json: num_attention_heads ${heads} is no multiple of num_key_value_heads ${groups}`,
      );
    const positions = tokensOf(given, c.max_position_embeddings);
    const biases = { qkv: c.model_type === "qwen2" || c.attention_bias, output: c.attention_bias };
    const norm = (name: string, size: number, times = 1) =>
      normLayer(name, size, { bias: false, positions: positions * times });
    const map = (name: string, inputs: number, outputs: number, bias: boolean) =>
      denseLayer(name, inputs, outputs, { bias, positions });
    const block = (k: number) => {
      const name = `layers.${k}`;
      const attention = `${name}.self_attn`;
      return [
        norm(`${name}.input_layernorm`, d),
        map(`${attention}.q_proj`, d, heads * head, biases.qkv),
        map(`${attention}.k_proj`, d, groups * head, biases.qkv),
        map(`${attention}.v_proj`, d, groups * head, biases.qkv),
        ...(c.model_type === "qwen3"
          ? [norm(`${attention}.q_norm`, head, heads), norm(`${attention}.k_norm`, head, groups)]
          : []),
        map(`${attention}.o_proj`, heads * head, d, biases.output),
        norm(`${name}.post_attention_layernorm`, d),
        map(`${name}.mlp.gate_proj`, d, inner, c.mlp_bias),
        map(`${name}.mlp.up_proj`, d, inner, c.mlp_bias),
        map(`${name}.mlp.down_proj`, inner, d, c.mlp_bias),
      ];
    };
    return language({
      tokens: positions,
      attention: c.num_hidden_layers * heads * head,
      table: ["embed_tokens", c.vocab_size, d],
      head: c.tie_word_embeddings ? undefined : "lm_head",
      layers: [...repeat(c.num_hidden_layers, block), norm("norm", d)],
      notes: [],
    });
  },
};

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
const bert: Family = {
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

const distilbert: Family = {
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

const labels = { num_labels: v.optional(width), id2label: v.optional(v.record(v.string(), v.unknown())) };
const labelsOf = (c: {
  num_labels?: number | undefined;
  id2label?: Readonly<Record<string, unknown>> | undefined;
}): number => c.num_labels ?? Object.keys(c.id2label ?? {}).length;
const noLabels = "no labels are named (id2label): the classifier is not counted";

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

const vit: Family = {
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
const resnet: Family = {
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

const families: Readonly<Record<string, Family>> = {
  gpt2,
  llama,
  mistral: llama,
  qwen2: llama,
  qwen3: llama,
  bert,
  roberta: bert,
  "xlm-roberta": bert,
  distilbert,
  vit,
  resnet,
};

/**
 * The architecture that a Hugging Face config.json describes.
 *
 *     readConfig(JSON.parse(readFileSync("config.json", "utf8")), "config.json", 1024)
 *
 * @param tokens - length of an example's sequence; default: the longest that the model takes.
 * @throws AdvisorError for another family, or a value that is missing or out of range.
 */
export function readConfig(config: unknown, name: string, tokens?: number): Architecture {
  const { model_type: type, torch_dtype, dtype } = config as Readonly<Record<string, unknown>>;
  const supported = Object.keys(families).join(", ");
  if (typeof type !== "string")
    throw new AdvisorError(`"${name}" has no model_type; the families that can be read are ${supported}`);
  if (!Object.hasOwn(families, type))
    throw new AdvisorError(
      `"${name}" has model_type "${type.slice(0, 40)}", which cannot be read; ${supported} can. Give its .safetensors or ONNX file instead`,
    );
  const parts = families[type]!.read(config, tokens);
  return countable({
    ...parts,
    name,
    storedBytes: bytes[String(torch_dtype ?? dtype)] ?? 4,
    activations: activationsOf(parts.layers),
  });
}

/** Whether an object may be such a configuration. */
export const isConfig = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "model_type" in value;

const bytes: Readonly<Record<string, number>> = { float64: 8, float32: 4, float16: 2, bfloat16: 2 };
const attentionNote = "attention is counted over all pairs of places, and its scores are not kept";

const parse = <S extends v.GenericSchema>(schema: S, config: unknown) =>
  parseFields(schema, config, "config.json");

const repeat = (times: number, layers: (k: number) => readonly LayerShape[]): LayerShape[] =>
  Array.from({ length: times }, (_, k) => layers(k)).flat();

function tokensOf(given: number | undefined, longest: number): number {
  if (given !== undefined && given > longest)
    throw new AdvisorError(`sequences of ${given} tokens are longer than the model's ${longest}`);
  return given ?? longest;
}

const sequence = (tokens: number) => `sequence of ${tokens.toLocaleString("en-US")} tokens`;

/** A decoder; its table is the head too, unless a head is named. attention: widths of queries, over all blocks. */
function language(given: {
  readonly tokens: number;
  readonly attention: number;
  readonly table: readonly [name: string, rows: number, width: number];
  readonly head: string | undefined;
  readonly layers: readonly LayerShape[];
  readonly notes: readonly string[];
}): Parts {
  const { tokens, attention, head, layers, notes } = given;
  const [table, rows, d] = given.table;
  const tied = head === undefined;
  return {
    kind: "transformer",
    example: sequence(tokens),
    layers: [
      embeddingLayer(table, rows, d, { positions: tied ? 2 * tokens : tokens, uses: tied ? 2 : 1 }),
      ...layers,
      ...(tied ? [] : [denseLayer(head, d, rows, { bias: false, positions: tokens })]),
    ],
    otherForwardFlops: 4 * tokens ** 2 * attention + (tied ? 2 * tokens * rows * d : 0),
    notes: [
      ...notes,
      ...(tied ? [`the head is the table of words (${table}), used twice`] : []),
      attentionNote,
    ],
  };
}

function encoder(given: {
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
const encoderBlock = (name: string, d: number, inner: number, positions: number, bias: boolean) => [
  denseLayer(`${name}.attention.query`, d, d, { bias, positions }),
  denseLayer(`${name}.attention.key`, d, d, { bias, positions }),
  denseLayer(`${name}.attention.value`, d, d, { bias, positions }),
  denseLayer(`${name}.attention.output`, d, d, { positions }),
  normLayer(`${name}.attention.norm`, d, { positions }),
  denseLayer(`${name}.intermediate`, d, inner, { positions }),
  denseLayer(`${name}.output`, inner, d, { positions }),
  normLayer(`${name}.norm`, d, { positions }),
];
