/** Language models that predict the next token: GPT-2, and Llama with its kin (Mistral, Qwen 2 and 3). */
import * as v from "valibot";
import type { LayerShape } from "../../../curvature/model-shape.js";
import { AdvisorError } from "../../error.js";
import { flag, width } from "../fields.js";
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

const gpt2Config = v.object({
  vocab_size: width,
  n_positions: width,
  n_embd: width,
  n_layer: depth,
  n_inner: v.nullish(width),
  tie_word_embeddings: flag(true),
});

export const gpt2: Family = {
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
export const llama: Family = {
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
    task: "language-model",
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
