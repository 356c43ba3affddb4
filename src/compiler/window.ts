/** A reduction whose kept axes surround the reduced ones: registers hold the result of a vector of kept points. */
import type { Code, Local } from "../runtime/assembler.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf, stridesOf } from "../tensor/shape.js";
import { type Access, describe, Expressions, layoutsOf, type Node, type Pattern } from "./expression.js";
import type { Kernel, KernelCache } from "./kernel.js";
import { apply, combine, type Lanes, load, loadStrided, pushIdentity, pushNumber, store } from "./lanes.js";
import { collapse, type Layout } from "./layout.js";
import { straightLine } from "./loop-plan.js";
import { overRows } from "./rows.js";
import type { Reduction, WindowStep } from "./step.js";

interface WindowPlan {
  readonly outer: readonly number[];
  /** The axes of the window, then the vectors' axis. */
  readonly inner: readonly number[];
  readonly expressions: Expressions;
  readonly input: Node;
  readonly target: Access;
}

export function planWindow(step: WindowStep): WindowPlan {
  const kept = step.domain.flatMap((_, axis) => (step.axes.includes(axis) ? [] : [axis]));
  const pick = <T>(list: readonly T[], axes: readonly number[]) => axes.map((axis) => list[axis]!);
  const layouts = layoutsOf(step.value);
  const result = stridesOf(pick(step.domain, kept));
  const keptSets = [...layouts.map((l) => pick(l.strides, kept)), result];
  let outer = collapse(pick(step.domain, kept), keptSets);
  let last = { extent: 1, strides: keptSets.map(() => 0) };
  if (outer.shape.length > 0) {
    last = { extent: outer.shape.at(-1)!, strides: outer.strides.map((set) => set.at(-1)!) };
    outer = { shape: outer.shape.slice(0, -1), strides: outer.strides.map((set) => set.slice(0, -1)) };
  }
  const window = collapse(
    pick(step.domain, step.axes),
    layouts.map((l) => pick(l.strides, step.axes)),
  );
  const resultLayout: Layout = { shape: step.root.shape, offset: 0, strides: result };
  const expressions = new Expressions(
    (layout) => {
      const index = layouts.indexOf(layout);
      const at = index < 0 ? layouts.length : index;
      const inWindow = index < 0 ? window.shape.map(() => 0) : window.strides[index]!;
      return { outer: outer.strides[at]!, inner: [...inWindow, last.strides[at]!] };
    },
    () => {
      throw new Error("compiler: a window reduction has no local values");
    },
  );
  const input = expressions.node(step.value);
  const target = expressions.access(step.root, resultLayout);
  const outerShape = outer.shape.length === 0 ? [1] : outer.shape;
  if (outer.shape.length === 0)
    for (const pattern of expressions.patterns) (pattern.outer as number[]).push(0);
  return { outer: outerShape, inner: [...window.shape, last.extent], expressions, input, target };
}

export function windowKernel(step: WindowStep, cache: KernelCache): Kernel {
  const plan = planWindow(step);
  const { key, write } = writeWindow(plan, step.reduction);
  const { accesses } = plan.expressions;
  return {
    code: cache.define(key, 3 + accesses.length, write),
    units: sizeOf(plan.outer),
    grain: 1,
    arguments: accesses.map((a) => ({ kind: "memory", root: a.root, offset: a.offset })),
    scratch: 0,
    work: sizeOf(step.domain) * 2,
  };
}

function writeWindow(plan: WindowPlan, reduction: Reduction) {
  const { outer, inner, expressions, input, target } = plan;
  const { nodes, accesses, patterns } = expressions;
  const lanes: Lanes = nodes.some((n) => n.dtype === "f64") ? 2 : 4;
  const windowShape = inner.slice(0, -1);
  const extent = inner.at(-1)!;
  const key = JSON.stringify([
    "window",
    outer,
    inner,
    lanes,
    reduction,
    input.id,
    target.parameter,
    patterns.map((p) => [p.outer, p.inner]),
    accesses.map((a) => [a.dtype, a.pattern.id]),
    nodes.map((n) => [
      n.dtype,
      describe(n.body),
      n.body.kind === "apply" && n.body.op.kind === "cast" ? n.body.op.dtype : "",
    ]),
  ]);
  const write = (code: Code, begin: Local, end: Local, _scratch: Local, ...parameters: Local[]) => {
    const offset = patterns.map(() => code.local("i32"));
    const at = code.local("i32");
    const indices = windowShape.map(() => code.local("i32"));
    const accumulator = code.local("v128");
    const unrolled =
      sizeOf(windowShape) <= 16 && patterns.every((p) => p.inner.every((stride) => stride >= 0));
    // Few elements are written out: their places are constants of the loads.
    const short = unrolled && extent <= straightLine;
    let known: readonly number[] | undefined;
    let knownAt: number | undefined;
    /** Pushes the offset of the current point; what is left to add is returned. */
    const pushOffset = (pattern: Pattern): number => {
      code.get(offset[pattern.id]!);
      const add = (index: Local, stride: number) => {
        if (stride === 0) return;
        code.get(index);
        code.i32(stride);
        code.emit("i32.mul", "i32.add");
      };
      const last = pattern.inner.at(-1)!;
      if (!known) for (const [axis, index] of indices.entries()) add(index, pattern.inner[axis]!);
      if (knownAt === undefined) add(at, last);
      const rest = (known ?? []).reduce((sum, index, axis) => sum + index * pattern.inner[axis]!, 0);
      return rest + (knownAt ?? 0) * last;
    };
    const point = (mode: "vector" | "lane") => {
      const values = new Map<Node, Local>();
      for (const node of nodes) {
        const local = code.local("v128");
        const { body } = node;
        if (body.kind === "number") pushNumber(code, node.dtype, body.value);
        else if (body.kind === "load") {
          const stride = body.access.pattern.inner.at(-1)!;
          code.get(parameters[body.access.parameter]!);
          const rest = pushOffset(body.access.pattern);
          code.emit("i32.add");
          if (mode === "vector" && stride !== 0 && stride !== bytesOf(node.dtype)) {
            const address = code.local("i32");
            code.i32(rest);
            code.emit("i32.add");
            code.set(address);
            loadStrided(code, node.dtype, lanes, address, stride);
            code.release("i32", address);
          } else load(code, node.dtype, lanes, mode === "vector" && stride !== 0 ? "vector" : "splat", rest);
        } else if (body.kind === "index") {
          const stride = body.pattern.inner.at(-1)!;
          const rest = pushOffset(body.pattern);
          code.i32(body.offset + rest);
          code.emit("i32.add", "i32x4.splat");
          if (mode === "vector" && stride !== 0) {
            code.i32x4([0, stride, 2 * stride, 3 * stride]);
            code.emit("i32x4.add");
          }
        } else if (body.kind === "apply")
          apply(code, body.op, node.dtype, body.inputs, (n) => code.get(values.get(n)!));
        code.set(local);
        values.set(node, local);
      }
      // The maximum of −∞ and the first element is that element.
      const first = reduction === "max" && known?.every((index) => index === 0);
      if (!first) code.get(accumulator);
      code.get(values.get(input)!);
      if (!first) combine(code, input.dtype, reduction);
      code.set(accumulator);
      for (const local of values.values()) code.release("v128", local);
    };
    const overWindow = (axis: number, mode: "vector" | "lane") => {
      if (axis === windowShape.length) point(mode);
      else if (unrolled)
        for (let index = 0; index < windowShape[axis]!; index++) {
          known = [...(known ?? []).slice(0, axis), index];
          overWindow(axis + 1, mode);
        }
      else
        code.for(indices[axis]!, { constant: 0 }, { constant: windowShape[axis]! }, 1, () =>
          overWindow(axis + 1, mode),
        );
    };
    const pass = (mode: "vector" | "lane") => {
      pushIdentity(code, input.dtype, reduction);
      code.set(accumulator);
      overWindow(0, mode);
      known = undefined;
      code.get(parameters[target.parameter]!);
      code.get(offset[target.pattern.id]!);
      code.emit("i32.add");
      if (knownAt === undefined) {
        code.get(at);
        code.i32(bytesOf(target.dtype));
        code.emit("i32.mul", "i32.add");
      }
      code.get(accumulator);
      store(code, target.dtype, lanes, mode, (knownAt ?? 0) * bytesOf(target.dtype));
    };
    const whole = extent - (extent % lanes);
    overRows(code, outer, begin, end, patterns, offset, () => {
      if (short) {
        for (let k = 0; k < extent; k += k < whole ? lanes : 1) {
          knownAt = k;
          pass(k < whole ? "vector" : "lane");
        }
        knownAt = undefined;
        return;
      }
      code.for(at, { constant: 0 }, { constant: whole }, lanes, () => pass("vector"));
      code.for(at, { constant: whole }, { constant: extent }, 1, () => pass("lane"));
    });
  };
  return { key, write };
}
