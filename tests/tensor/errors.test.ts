/** A mistake is reported with the operation, the shapes, and the line of the user's code. */
import { describe, expect, test } from "vitest";
import {
  grad,
  jacobian,
  jvp,
  linearize,
  pullback,
  pushforward,
  vjp,
  vmap,
} from "../../src/autodiff/index.js";
import { ShapeError } from "../../src/tensor/shape.js";
import { concat, input, scatterAdd, stack, Tensor } from "../../src/tensor/tensor.js";

const at = (...shape: number[]) => input("x", { dtype: "f32", shape });
const whole = (...shape: number[]) => input("i", { dtype: "i32", shape });
const wide = (...shape: number[]) => input("d", { dtype: "f64", shape });
const window = {
  kernel: [5, 5],
  stride: [1, 1],
  padding: [
    [0, 0],
    [0, 0],
  ],
  dilation: [1, 1],
} as const;

const mistakes: [string, () => unknown, string[]][] = [
  ["add", () => at(2, 3).add(at(4)), ["add", "[2, 3]", "[4]"]],
  ["add of dtypes", () => at(2).add(wide(2)), ["add", "f32", "f64", "cast"]],
  ["matmul", () => at(2, 3).matmul(at(4, 5)), ["dot", "[2, 3]", "[4, 5]", "3 ≠ 4"]],
  ["matmul of batches", () => at(2, 3, 4).matmul(at(3, 4, 5)), ["matmul", "[2]", "[3]"]],
  ["matmul of a scalar", () => at().matmul(at(2, 2)), ["matmul", "scalars"]],
  ["exp of integers", () => whole(2).exp(), ["exp", "i32", "cast"]],
  ["reshape", () => at(2, 3).reshape([4]), ["reshape", "[2, 3]", "[4]"]],
  ["reshape with −1", () => at(2, 3).reshape([4, -1]), ["reshape", "[2, 3]"]],
  ["permute", () => at(2, 3).permute([0, 0]), ["permute", "[0, 0]", "[2, 3]"]],
  ["transpose", () => at(2).transpose(), ["transpose", "[2]"]],
  ["expand", () => at(2, 3).expand([2, 4]), ["expand", "[2, 3]", "[2, 4]"]],
  ["slice", () => at(2, 3).slice(1, 1, 7), ["slice", "1:7:1", "axis 1", "[2, 3]"]],
  ["slice of a missing axis", () => at(2, 3).slice(2, 0, 1), ["slice", "axis 2"]],
  ["at", () => at(2, 3).at(5), ["slice", "[2, 3]"]],
  ["pad", () => at(2, 3).pad([[1, 1]]), ["pad", "[2, 3]"]],
  [
    "pad, primitive",
    () => Tensor.apply({ kind: "pad", low: [1], high: [1], interior: [0] }, at(2, 3)),
    ["pad", "[2, 3]"],
  ],
  ["negative pad", () => at(2).pad([[-1, 0]]), ["pad", "-1"]],
  ["concat", () => concat([at(2, 3), at(2, 4)]), ["concat", "[2, 3]", "[2, 4]"]],
  ["concat of nothing", () => concat([]), ["concat"]],
  ["stack", () => stack([at(2), at(3)]), ["concat", "[1, 2]", "[1, 3]"]],
  ["sum", () => at(2, 3).sum(2), ["reduceSum", "axis 2"]],
  ["sum of an axis twice", () => at(2, 3).sum([0, -2]), ["reduceSum", "twice"]],
  ["argMax", () => at(2).argMax(1), ["argMax", "axis 1"]],
  ["select", () => at(2).select(at(2), 0), ["select", "bool"]],
  ["select of shapes", () => at(2).gt(0).select(at(3), 0), ["select", "[2]", "[3]"]],
  ["gather", () => at(2).gather(at(2)), ["gather", "i32", "f32"]],
  ["scatterAdd", () => scatterAdd(whole(3), at(2), 4), ["scatterAdd", "[3]", "[2]"]],
  ["patches", () => at(1, 3, 3, 1).patches(window), ["patches", "5×5", "[1, 3, 3, 1]"]],
  ["patches of a matrix", () => at(3, 3).patches(window), ["patches", "[3, 3]"]],
  [
    "fold",
    () => Tensor.apply({ kind: "fold", window, height: 5, width: 5 }, at(1, 1, 1, 24)),
    ["fold", "[1, 1, 1, 24]"],
  ],
  [
    "fold of other places",
    () => Tensor.apply({ kind: "fold", window, height: 9, width: 9 }, at(1, 1, 1, 25)),
    ["fold", "[1, 1, 1, 25]"],
  ],
  ["grad of a vector", () => grad((x: Tensor) => x.exp())(at(3)), ["grad", "scalar", "f32[3]"]],
  [
    "grad by integers",
    () => grad((p: { n: Tensor }) => p.n.sum())({ n: whole(3) }),
    ["grad", '"n"', "i32[3]"],
  ],
  ["jvp", () => jvp((x: Tensor) => x, [at(3)], [at(2)]), ["jvp", "f32[2]", "f32[3]"]],
  [
    "jvp with too few tangents",
    () => jvp((x: Tensor, y: Tensor) => x.add(y), [at(3), at(3)], [at(3)] as never),
    ["jvp", "nothing"],
  ],
  ["vjp", () => vjp((x: Tensor) => x.sum(), at(3))[1](at(3)), ["vjp", "f32[3]", "f32[]"]],
  ["linearize", () => linearize((x: Tensor) => x, at(3))[1](wide(3)), ["linearize", "f64[3]", "f32[3]"]],
  ["jacobian", () => jacobian((x: Tensor) => x)(whole(2)), ["vjp", "i32[2]"]],
  [
    "pushforward",
    () => pushforward([at(2)], [at(2)], [at(3)]),
    ["pushforward", "tangent 0", "f32[3]", "f32[2]"],
  ],
  ["pullback", () => pullback([at(2)], [at(2)], [at(3)]), ["pullback", "cotangent 0", "f32[3]", "f32[2]"]],
  [
    "vmap over extents",
    () => vmap((x: Tensor, y: Tensor) => x.add(y))(at(2), at(3)),
    ["vmap", "argument 1", "3", "2"],
  ],
  ["vmap over a scalar", () => vmap((x: Tensor) => x)(at()), ["vmap", "argument 0", "scalar"]],
  ["vmap over a missing axis", () => vmap((x: Tensor) => x, 2)(at(2, 3)), ["vmap", "axis 2"]],
  ["vmap over nothing", () => vmap((x: Tensor) => x, null)(at(2)), ["vmap", "no argument"]],
  [
    "vmap with too few axes",
    () => vmap((x: Tensor, y: Tensor) => x.add(y), [0])(at(2), at(2)),
    ["vmap", "argument 1", "inAxes"],
  ],
];

describe("mistakes", () => {
  test.each(mistakes)("%s", (_, mistake, words) => {
    let message: string | undefined;
    try {
      mistake();
    } catch (error) {
      expect(error).toBeInstanceOf(ShapeError);
      message = (error as Error).message;
    }
    expect(message, "nothing was thrown").toBeDefined();
    for (const word of words) expect(message).toContain(word);
    expect(message).toMatch(/\(at .*errors\.test\.ts:\d+:\d+\)$/);
  });
});
