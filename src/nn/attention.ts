/** Attention over positions, and the transformer's block. */
import { formatShape, ShapeError } from "../tensor/shape.js";
import { iota, type Tensor } from "../tensor/tensor.js";
import { gelu } from "./activations.js";
import { type Affine, affine, affineVariables, type DenseOptions, dense } from "./dense.js";
import { dropout } from "./dropout.js";
import { blocks, glorotUniform } from "./initialisers.js";
import { type Layer, layer, nameOf, needRank } from "./layer.js";
import { layerNorm } from "./norm.js";
import { residual, sequential, sized } from "./sequential.js";

type Projections = { readonly qkv: Affine; readonly output: Affine };

export interface AttentionOptions extends DenseOptions {
  readonly heads: number;
  /** Position t sees positions 0 … t only. Default false. */
  readonly causal?: boolean;
}

/**
 * Multi-head self-attention (Vaswani et al. 2017): [batch, positions, width] → the same. In each head
 * softmax(Q·Kᵀ/√d)·V with d = width/heads. Queries, keys and values are one product with qkv.weight
 * [width, 3·width] (columns: all queries, all keys, all values; heads side by side in each); output.weight
 * [width, width]. Both projections are marked as dense.
 *
 *     multiHeadAttention({ heads: 4, causal: true })
 */
export function multiHeadAttention(options: AttentionOptions): Layer<Projections> {
  const { heads, causal = false, weight = glorotUniform() } = options;
  return layer<Projections>({
    kind: "multiHeadAttention",
    declare(inputShape) {
      needRank("multiHeadAttention", inputShape, "positions, width");
      const width = inputShape[1]!;
      if (width % heads !== 0)
        throw new ShapeError(
          `multiHeadAttention: examples ${formatShape(inputShape)} do not split into ${heads} heads of equal width`,
        );
      return {
        parameters: {
          qkv: affineVariables(width, 3 * width, { ...options, weight: blocks([weight, weight, weight]) }),
          output: affineVariables(width, width, options),
        },
        state: {},
        outputShape: inputShape,
      };
    },
    apply(parameters, x, context) {
      const name = nameOf(context, "multiHeadAttention");
      const [batch, positions, width] = x.shape as [number, number, number];
      const projected = affine(parameters.qkv, x, `${name}.qkv`);
      const perHead = projected.reshape([batch, positions, 3, heads, width / heads]);
      const [q, k, v] = [0, 1, 2].map((part) => perHead.at(part, 2).permute([0, 2, 1, 3]));
      const scores = q!.matmul(k!.transpose()).mul(Math.sqrt(heads / width));
      const weights = (causal ? pastOnly(scores) : scores).softmax(-1);
      const mixed = weights.matmul(v!).permute([0, 2, 1, 3]).reshape(x.shape);
      return affine(parameters.output, mixed, `${name}.output`);
    },
  });
}

/** Scores [..., query, key] of later keys so low that their weight is 0. */
function pastOnly(scores: Tensor): Tensor {
  const shape = scores.shape.slice(-2);
  return iota(shape, 0).ge(iota(shape, 1)).select(scores, -1e9);
}

export interface TransformerBlockOptions extends AttentionOptions {
  /** Width of the hidden layer over the block's, default 4. */
  readonly expansion?: number;
  /** Dropout before each addition in training, default 0. */
  readonly dropout?: number;
  /** GELU exact or by tanh; default "none" (exact). */
  readonly approximation?: "none" | "tanh";
}

/**
 * A pre-norm block (Radford et al. 2019; Xiong et al. 2020): x += attention(norm(x)); x += feedForward(norm(x)), with
 * feedForward = dense, GELU, dense. [batch, positions, width] → the same. Parameters: attention.norm,
 * attention.attention.qkv, attention.attention.output, feedForward.norm, feedForward.expand, feedForward.contract.
 *
 *     sequential(embedding(65, 128), positionalEmbedding(), transformerBlock({ heads: 4, causal: true }), dense(65))
 */
export function transformerBlock(options: TransformerBlockOptions): Layer {
  const { expansion = 4, dropout: rate = 0, approximation = "none" } = options;
  return sized("transformerBlock", (inputShape) => {
    needRank("transformerBlock", inputShape, "positions, width");
    const width = inputShape[1]!;
    return sequential({
      attention: residual(
        sequential({ norm: layerNorm(), attention: multiHeadAttention(options), dropout: dropout(rate) }),
      ),
      feedForward: residual(
        sequential({
          norm: layerNorm(),
          expand: dense(expansion * width, options),
          activation: gelu(approximation),
          contract: dense(width, options),
          dropout: dropout(rate),
        }),
      ),
    });
  });
}
