/**
 * Matrix products, and the patches that make convolution one: with P = patches(x), conv(x, W) = P·W.
 * C = A·B:  Ċ = Ȧ·B + A·Ḃ,  Ā = C̄·Bᵀ,  B̄ = Aᵀ·C̄.
 * patches copies each pixel to every place of a window that covers it; fold, its transpose, adds those up.
 */
import type { Window } from "../op.js";
import { sizeOf } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { apply, type Family, generate, sumOf } from "./rules.js";

const product = (a: Tensor, b: Tensor): Tensor => apply({ kind: "dot" }, a, b);

/** Calls visit(patch index, image index) for each element of the patches that lies inside the image. */
function overWindow(
  window: Window,
  image: readonly number[],
  patches: readonly number[],
  visit: (patch: number, pixel: number) => void,
): void {
  const [examples, height, width, channels] = image as [number, number, number, number];
  const [, rows, columns] = patches as [number, number, number];
  let patch = 0;
  for (let n = 0; n < examples; n++)
    for (let r = 0; r < rows; r++)
      for (let q = 0; q < columns; q++)
        for (let i = 0; i < window.kernel[0]; i++)
          for (let j = 0; j < window.kernel[1]; j++) {
            const y = r * window.stride[0] - window.padding[0][0] + i * window.dilation[0];
            const x = q * window.stride[1] - window.padding[1][0] + j * window.dilation[1];
            const inside = y >= 0 && y < height && x >= 0 && x < width;
            for (let c = 0; c < channels; c++, patch++)
              if (inside) visit(patch, ((n * height + y) * width + x) * channels + c);
          }
}

const mergeBatch = (x: Tensor) => x.reshape([x.shape[0]! * x.shape[1]!, ...x.shape.slice(2)]);
const splitBatch = (x: Tensor, size: number) => x.reshape([size, x.shape[0]! / size, ...x.shape.slice(1)]);

export const contraction: Family<"dot" | "patches" | "fold"> = {
  dot: {
    evaluate(_op, [a, b], output) {
      const [m, k] = a!.shape.slice(-2) as [number, number];
      const n = b!.shape.at(-1)!;
      return generate(output, (index) => {
        const column = index % n;
        const row = Math.floor(index / n) % m;
        const batch = Math.floor(index / (m * n));
        let sum = 0;
        for (let j = 0; j < k; j++)
          sum += a!.data[(batch * m + row) * k + j]! * b!.data[(batch * k + j) * n + column]!;
        return sum;
      });
    },
    jvp: (_op, [a, b], [s, t]) => sumOf([s && product(s, b!), t && product(a!, t)]),
    transpose: (_op, c, [a, b], [first, second]) => [
      first ? product(c, b!.transpose()) : undefined,
      second ? product(a!.transpose(), c) : undefined,
    ],
    batch(_op, [a, b], [first, second], size) {
      if (first && second) return product(a!, b!);
      const stretch = (x: Tensor) => x.expand([size, ...x.shape]);
      // One large product instead of many small ones where the other side is a single matrix.
      if (first && b!.rank === 2) {
        const [, m, k] = a!.shape as [number, number, number];
        return product(a!.reshape([size * m, k]), b!).reshape([size, m, b!.shape[1]!]);
      }
      if (second && a!.rank === 2) {
        // A·B_i for all i: rows of B stay rows, so move the batch next to the columns.
        const [, k, n] = b!.shape as [number, number, number];
        const wide = b!.permute([1, 0, 2]).reshape([k, size * n]);
        return product(a!, wide).reshape([a!.shape[0]!, size, n]).permute([1, 0, 2]);
      }
      return first ? product(a!, stretch(b!)) : product(stretch(a!), b!);
    },
  },
  patches: {
    evaluate(op, [x], output) {
      const result = generate(output, () => 0);
      overWindow(op.window, x!.shape, output.shape, (patch, pixel) => {
        result.data[patch] = x!.data[pixel]!;
      });
      return result;
    },
    jvp: (op, _inputs, [t]) => t?.patches(op.window),
    transpose: (op, c, [x]) => [
      apply({ kind: "fold", window: op.window, height: x!.shape[1]!, width: x!.shape[2]! }, c),
    ],
    batch: (op, [x], _batched, size) => splitBatch(mergeBatch(x!).patches(op.window), size),
  },
  fold: {
    evaluate(op, [c], output) {
      const sums = new Float64Array(sizeOf(output.shape));
      overWindow(op.window, output.shape, c!.shape, (patch, pixel) => {
        sums[pixel]! += c!.data[patch]!;
      });
      return generate(output, (i) => sums[i]!);
    },
    jvp: (op, _inputs, [t]) => t && apply(op, t),
    transpose: (op, c) => [c.patches(op.window)],
    batch: (op, [c], _batched, size) => splitBatch(apply(op, mergeBatch(c!)), size),
  },
};
