/** Whatever the shapes: reverse mode is the transpose of forward mode, vmap is a loop, extents of 1 and 0 included. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { jvp, vjp, vmap } from "../../src/autodiff/index.js";
import type { NDArray } from "../../src/tensor/array.js";
import { concat, stack, type Tensor } from "../../src/tensor/tensor.js";
import { expectClose, f64, inner, randomArray, run } from "../tensor/numbers.js";

type Trial = { shapes: number[][]; f: (...inputs: Tensor[]) => Tensor };

function check({ shapes, f }: Trial): void {
  const [x, t] = [1, 50].map((seed) => shapes.map((shape, k) => randomArray(shape, seed + k)));
  const [y, dy] = run(
    (...given) => jvp<Tensor[], Tensor>(f, given.slice(0, shapes.length), given.slice(shapes.length)),
    ...x!,
    ...t!,
  ) as [NDArray, NDArray];
  const c = randomArray(y.shape, 99);
  const bars = run((...given) => vjp<Tensor[], Tensor>(f, ...given.slice(0, -1))[1](given.at(-1)!), ...x!, c);
  bars.forEach((bar, k) => {
    expect(bar.shape).toEqual(shapes[k]);
  });
  const [left, right] = [inner(c, dy), bars.reduce((sum, bar, k) => sum + inner(bar, t![k]!), 0)];
  expect(Math.abs(left - right)).toBeLessThanOrEqual(1e-11 * (1 + Math.abs(left)));

  const size = 2;
  const batched = shapes.map((shape, k) => randomArray([size, ...shape], 200 + k));
  const mapped = run(vmap<Tensor[], Tensor>(f), ...batched)[0]!;
  const looped = run(
    (...given) => stack(Array.from({ length: size }, (_, i) => f(...given.map((g) => g.at(i))))),
    ...batched,
  )[0]!;
  expectClose(mapped, looped, 1e-12);
}

const extent = fc.integer({ min: 1, max: 4 });
const shape = fc.array(extent, { maxLength: 4 });
const filled = fc.array(extent, { minLength: 1, maxLength: 4 });
const holds = (trial: fc.Arbitrary<Trial>) => fc.assert(fc.property(trial, check), { numRuns: 60 });

test("broadcasting arithmetic", () => {
  holds(
    fc
      .tuple(
        shape,
        fc.infiniteStream(fc.boolean()),
        fc.nat(4),
        fc.constantFrom("add", "sub", "mul", "div", "max", "min"),
      )
      .map(([full, ones, drop, kind]) => ({
        shapes: [full, full.slice(Math.min(drop, full.length)).map((n) => (ones.next().value ? 1 : n))],
        f: (a, b) => (kind === "div" ? a!.div(b!.square().add(1)) : a![kind](b!)),
      })),
  );
});

test("matrix products with broadcast batches", () => {
  holds(
    fc
      .tuple(fc.array(extent, { maxLength: 2 }), fc.nat(2), fc.boolean(), extent, extent, extent)
      .map(([batch, drop, swap, m, k, n]) => {
        const [full, part] = [batch, batch.slice(drop)];
        return {
          shapes: [
            [...(swap ? part : full), m, k],
            [...(swap ? full : part), k, n],
          ],
          f: (a, b) => a!.matmul(b!),
        };
      }),
  );
});

test("reductions", () => {
  holds(
    filled.chain((full) =>
      fc
        .tuple(
          fc.subarray(full.map((_, axis) => axis)),
          fc.boolean(),
          fc.constantFrom("sum", "mean", "maximum"),
        )
        .map(([axes, keep, kind]) => ({
          shapes: [full],
          f: (x: Tensor | undefined) => x!.sin()[kind](axes, keep).exp(),
        })),
    ),
  );
});

test("sums of what was stretched", () => {
  holds(
    fc.tuple(filled, extent).chain(([narrow, repeat]) => {
      const wide = [repeat, ...narrow.map((n) => (n === 1 ? 3 : n))];
      return fc.subarray(wide.map((_, axis) => axis)).map((axes) => ({
        shapes: [narrow, wide.filter((_, axis) => !axes.includes(axis))],
        f: (x: Tensor | undefined, w: Tensor | undefined) => x!.expand(wide).sum(axes).mul(w!),
      }));
    }),
  );
});

test("layouts", () => {
  const move = fc.record({
    kind: fc.nat(5),
    axis: fc.nat(3),
    a: fc.nat(3),
    b: fc.nat(3),
    step: fc.integer({ min: 1, max: 3 }),
  });
  holds(
    fc.tuple(filled, fc.array(move, { minLength: 1, maxLength: 4 })).map(([full, moves]) => ({
      shapes: [full],
      f: (x) =>
        moves.reduce((t, { kind, axis: choice, a, b, step }) => {
          if (t.rank === 0) return t.sin();
          const axis = choice % t.rank;
          const n = t.shape[axis]!;
          switch (kind) {
            case 0:
              return t.permute([...t.shape.keys()].sort((p, q) => ((p + a) % t.rank) - ((q + a) % t.rank)));
            case 1:
              return t.slice(axis, a % n, Math.max((a % n) + 1, n - (b % n)), step);
            case 2:
              return t.pad(t.shape.map((_, k) => (k === axis ? [a, b] : [0, 0])));
            case 3:
              return t.reverse(axis);
            case 4:
              return concat([t.sin(), t.slice(axis, 0, 1), t], axis);
            default:
              return t.flatten(axis).cumsum(-1);
          }
        }, x!),
    })),
  );
});

test("patches and convolutions", () => {
  const one = fc.integer({ min: 1, max: 2 });
  const edge = fc.nat(2);
  holds(
    fc
      .tuple(
        one,
        fc.tuple(one, one),
        fc.tuple(one, one),
        fc.tuple(one, one),
        fc.tuple(edge, edge, edge, edge),
        fc.tuple(extent, extent),
      )
      .map(([n, kernel, stride, dilation, [top, bottom, left, right], [h, w]]) => {
        const window = {
          kernel,
          stride,
          dilation,
          padding: [
            [top, bottom],
            [left, right],
          ],
        } as const;
        return {
          shapes: [
            [n, h + 2, w + 2, 2],
            [kernel[0] * kernel[1] * 2, 3],
          ],
          f: (x, k) => x!.patches(window).matmul(k!),
        };
      }),
  );
});

test("empty tensors", () => {
  const empty = f64(new Float64Array(0), [0, 3]);
  const [y, dy] = run((x) => jvp((t: Tensor) => t.sin().matmul(t.transpose()).sum(), [x!], [x!]), empty);
  expect([y!.data[0], dy!.data[0]]).toEqual([0, 0]);
  const [g] = run(
    (x) =>
      vjp(
        (t: Tensor) =>
          concat([t, t.mul(2)])
            .slice(1, 1)
            .sum(0),
        x!,
      )[1](x!.sum(0).slice(0, 1))[0],
    empty,
  );
  expect(g!.shape).toEqual([0, 3]);
});
