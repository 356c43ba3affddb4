/** Rows of a table by number, and the sum of rows back into a table: each the transpose of the other. */
import type { Op } from "../op.js";
import { sizeOf } from "../shape.js";
import { iota, scatterAdd as scatter } from "../tensor.js";
import { generate, type Rules } from "./rules.js";

type Kind<K extends Op["kind"]> = Extract<Op, { kind: K }>;

const clamp = (index: number, extent: number) => Math.min(Math.max(index, 0), extent - 1);

export const gather: Rules<Kind<"gather">> = {
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
    // Tables one under the other: example i's rows start at i·v.
    const rows = table!.shape[1]!;
    const own = manyIndices ? indices! : indices!.expand([size, ...indices!.shape]);
    const bounded = own.max(0).min(rows - 1);
    const start = iota(own.shape, 0).mul(rows);
    return table!.reshape([size * rows, ...table!.shape.slice(2)]).gather(bounded.add(start));
  },
};

export const scatterAdd: Rules<Kind<"scatterAdd">> = {
  evaluate(op, [indices, updates], output) {
    const width = sizeOf(output.shape.slice(1));
    const sums = new Float64Array(op.size * width);
    for (let i = 0; i < updates!.data.length; i++)
      sums[clamp(indices!.data[Math.floor(i / width)]!, op.size) * width + (i % width)]! += updates!.data[i]!;
    return generate(output, (i) => sums[i]!);
  },
  jvp: (op, [indices], [, t]) => t && scatter(indices!, t, op.size),
  transpose: (_op, c, [indices]) => [undefined, c.gather(indices!)],
  batch(op, [indices, updates], [manyIndices, many], size) {
    const own = manyIndices ? indices! : indices!.expand([size, ...indices!.shape]);
    const values = many ? updates! : updates!.expand([size, ...updates!.shape]);
    const start = iota(own.shape, 0).mul(op.size);
    const all = scatter(
      own
        .max(0)
        .min(op.size - 1)
        .add(start),
      values,
      size * op.size,
    );
    return all.reshape([size, op.size, ...all.shape.slice(1)]);
  },
};
