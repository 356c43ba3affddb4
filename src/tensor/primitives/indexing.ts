/**
 * Rows of a table by number, y_s = T[i_s], and the sum of rows back into a table, T[v] = Σ_{s: i_s = v} u_s: each is the
 * transpose of the other. Indices outside the table are clamped to its first or last row.
 */
import { sizeOf } from "../shape.js";
import { iota, scatterAdd as scatter, type Tensor } from "../tensor.js";
import { type Family, generate } from "./rules.js";

const clamp = (index: number, extent: number) => Math.min(Math.max(index, 0), extent - 1);

/** Row numbers [size, ...s] of one table each, as row numbers of all tables one under the other. */
const stacked = (indices: Tensor, rows: number): Tensor =>
  indices
    .max(0)
    .min(rows - 1)
    .add(iota(indices.shape, 0).mul(rows));

export const indexing: Family<"gather" | "scatterAdd"> = {
  gather: {
    evaluate(_op, [table, indices], output) {
      const width = sizeOf(table!.shape.slice(1));
      return generate(
        output,
        (i) =>
          table!.data[clamp(indices!.data[Math.floor(i / width)]!, table!.shape[0]!) * width + (i % width)]!,
      );
    },
    jvp: (_op, [, indices], [t]) => t?.gather(indices!),
    transpose: (_op, c, [table, indices]) => [scatter(indices!, c, table!.shape[0]!), undefined],
    batch(_op, [table, indices], [many, manyIndices], size) {
      if (!many) return table!.gather(indices!);
      const rows = table!.shape[1]!;
      const own = manyIndices ? indices! : indices!.expand([size, ...indices!.shape]);
      return table!.reshape([size * rows, ...table!.shape.slice(2)]).gather(stacked(own, rows));
    },
  },
  scatterAdd: {
    evaluate(op, [indices, updates], output) {
      const width = sizeOf(output.shape.slice(1));
      const sums = new Float64Array(op.size * width);
      for (let i = 0; i < updates!.data.length; i++)
        sums[clamp(indices!.data[Math.floor(i / width)]!, op.size) * width + (i % width)]! +=
          updates!.data[i]!;
      return generate(output, (i) => sums[i]!);
    },
    jvp: (op, [indices], [, t]) => t && scatter(indices!, t, op.size),
    transpose: (_op, c, [indices]) => [undefined, c.gather(indices!)],
    batch(op, [indices, updates], [manyIndices, many], size) {
      const own = manyIndices ? indices! : indices!.expand([size, ...indices!.shape]);
      const values = many ? updates! : updates!.expand([size, ...updates!.shape]);
      const all = scatter(stacked(own, op.size), values, size * op.size);
      return all.reshape([size, op.size, ...all.shape.slice(1)]);
    },
  },
};
