/** Vectors for numbered things: tokens, positions. */
import { formatShape, ShapeError } from "../tensor/shape.js";
import { iota, type Tensor } from "../tensor/tensor.js";
import { type Initialiser, normal } from "./initialisers.js";
import { type Layer, layer, nameOf, needRank } from "./layer.js";

type Table = { readonly table: Tensor };

/**
 * Rows of a table: i32 [batch, ...] → [batch, ..., width]. Parameter: table [vocabulary, width], initially normal
 * with deviation 0.02 (Radford et al. 2019, GPT-2) unless given. Numbers outside the vocabulary are clamped.
 *
 *     sequential(embedding(65, 128), positionalEmbedding(), transformerBlock({ heads: 4 }))
 */
export const embedding = (
  vocabulary: number,
  width: number,
  options: { readonly table?: Initialiser } = {},
): Layer<Table> =>
  layer<Table>({
    kind: "embedding",
    declare: (inputShape) => ({
      parameters: { table: { shape: [vocabulary, width], initialise: options.table ?? normal(0.02) } },
      state: {},
      outputShape: [...inputShape, width],
    }),
    apply: ({ table }, x, context) =>
      table.gather(x).marked({ layer: "embedding", name: nameOf(context, "embedding") }, x, table),
  });

/**
 * Adds a learned vector for each position: [batch, positions, width] → the same (Gehring et al. 2017; Devlin et al.
 * 2018). Parameter: table [length, width]; `length` is the number of positions unless more are to be learned.
 *
 *     sequential(embedding(65, 128), positionalEmbedding({ length: 256 }))
 *
 * @throws ShapeError when an example has more positions than `length`.
 */
export const positionalEmbedding = (
  options: { readonly length?: number; readonly table?: Initialiser } = {},
): Layer<Table> =>
  layer<Table>({
    kind: "positionalEmbedding",
    declare(inputShape) {
      needRank("positionalEmbedding", inputShape, "positions, width");
      const [positions, width] = inputShape as [number, number];
      const length = options.length ?? positions;
      if (length < positions)
        throw new ShapeError(
          `positionalEmbedding: ${length} positions are too few for examples ${formatShape(inputShape)}`,
        );
      return {
        parameters: { table: { shape: [length, width], initialise: options.table ?? normal(0.02) } },
        state: {},
        outputShape: inputShape,
      };
    },
    apply({ table }, x, context) {
      // What gathering row t for position t of every example gives, without gathering.
      const rows = table.slice(0, 0, x.shape[1]!).expand(x.shape);
      const positions = iota(x.shape.slice(0, 2), 1);
      const name = nameOf(context, "positionalEmbedding");
      return x.add(rows.marked({ layer: "embedding", name }, positions, table));
    },
  });
