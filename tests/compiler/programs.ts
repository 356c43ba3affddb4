/** Random programs for property tests. */
import fc from "fast-check";
import { concat, type Tensor } from "../../src/tensor/tensor.js";

/** A random program: each step applies an operation to earlier tensors. */
type Choice = readonly [operation: number, first: number, second: number];
export const choice = fc.tuple(fc.nat(17), fc.nat(30), fc.nat(30));
export function build(choices: readonly Choice[], inputs: readonly Tensor[]): Tensor[] {
  const made = [...inputs];
  const at = (index: number) => made[index % made.length]!;
  for (const [operation, first, second] of choices) {
    const x = at(first);
    const y = at(second);
    const next = ((): Tensor | undefined => {
      switch (operation) {
        case 0:
          return x.tanh();
        case 1:
          return x.mul(0.5).add(1).square();
        case 2:
          return x.sigmoid().mul(y.shape.join() === x.shape.join() ? y : x);
        case 3:
          return x.rank > 0
            ? x
                .sum(x.rank - 1, true)
                .mul(0.3)
                .expand(x.shape)
            : undefined;
        case 4:
          return x.rank > 1 ? x.sum(0) : undefined;
        case 5:
          return x.rank > 0 ? x.sub(x.maximum(x.rank - 1, true)) : undefined;
        case 6:
          return x.rank > 1 ? x.transpose() : undefined;
        case 7:
          return x.reshape([x.size]);
        case 8:
          return x.rank > 0 && x.shape.at(-1)! > 1 ? x.slice(-1, 1) : undefined;
        case 9:
          return x.rank === 2 && y.rank === 2 && x.shape[1] === y.shape[0] ? x.matmul(y).mul(0.2) : undefined;
        case 10:
          return x.rank > 0 &&
            y.rank === x.rank &&
            x.shape.slice(1).join() === y.shape.slice(1).join() &&
            x.size + y.size < 500
            ? concat([x, y.mul(0.7)], 0)
            : undefined;
        case 11:
          return x.rank > 0 ? x.reverse(x.rank - 1) : undefined;
        case 12:
          return x.rank > 1 ? x.gt(0.2).select(x, x.mean(0, true)) : undefined;
        case 13:
          return x.rank > 0 ? x.softmax() : undefined;
        case 14:
          return x.sum();
        case 15:
          return x.rank === 2
            ? x.pad([
                [1, 0],
                [0, 2],
              ])
            : undefined;
        case 16:
          return x.rank === 2 && x.shape[0]! % 2 === 0
            ? x.reshape([x.shape[0]! / 2, 2, x.shape[1]!]).maximum(1)
            : undefined;
        default:
          return x.rank === 2 ? x.matmul(x.transpose()).mul(0.1).add(x.sum(1)) : undefined;
      }
    })();
    if (next && next.size > 0 && next.size <= 600) made.push(next);
  }
  return made;
}
