/**
 * Loop step → one WebAssembly function.
 *
 * The domain's axes are split into outer and inner ones. A row is one point of the outer axes; its inner points are
 * walked by SIMD vectors along the last axis, once for each stage: a stage ends where a row reduction is needed.
 *
 *     for row in [begin, end):            rows are what threads share
 *       row values of stage 0
 *       for each stage: for inner points: wide values, stores, reductions;  then row values of the next stage
 */
import type { Code, FunctionRef, Local, ModuleBuilder } from "../runtime/assembler.js";
import { bytesOf } from "../tensor/dtype.js";
import { sizeOf, stridesOf } from "../tensor/shape.js";
import { type Access, describe, Expressions, layoutsOf, type Node, type Pattern } from "./expression.js";
import {
  acrossLanes,
  apply,
  combine,
  type Lanes,
  load,
  loadStrided,
  pushIdentity,
  pushNumber,
  store,
  storeStrided,
  toMemory,
} from "./lanes.js";
import { collapse, type Layout } from "./layout.js";
import {
  innerAxesOf,
  type LoopOutput,
  type LoopStep,
  type Reduction,
  type Root,
  type WindowStep,
} from "./schedule.js";

/** A compiled loop: call it with [begin, end) of `units`, a scratch address, and the addresses of `arguments`. */
export interface Kernel {
  readonly code: FunctionRef;
  readonly units: number;
  /** Threads' ranges should start at multiples of this. */
  readonly grain: number;
  readonly arguments: readonly KernelArgument[];
  /** Bytes of thread-private scratch. */
  readonly scratch: number;
  /** Rough number of element operations, to decide whether threads pay. */
  readonly work: number;
}
export type KernelArgument =
  | { readonly kind: "memory"; readonly root: Root; readonly offset: number }
  /** Where this thread's share of a reduction goes: `size` elements of the root's dtype. */
  | { readonly kind: "partial"; readonly root: Root; readonly reduction: Reduction; readonly size: number };

/** Emits kernels into a module; equal kernels once. */
export class KernelCache {
  private readonly known = new Map<string, FunctionRef>();
  constructor(readonly module: ModuleBuilder) {}
  define(key: string, parameters: number, write: (code: Code, ...locals: Local[]) => void): FunctionRef {
    const found = this.known.get(key);
    if (found) return found;
    const defined = this.module.define(new Array<"i32">(parameters).fill("i32"), [], write);
    this.known.set(key, defined);
    return defined;
  }
}

interface Store {
  readonly access: Access;
  readonly node: Node;
}
interface RowReduce {
  readonly input: Node;
  readonly result: Node;
  readonly reduction: Reduction;
}
interface Accumulate {
  readonly input: Node;
  readonly reduction: Reduction;
  readonly parameter: number;
  readonly kept: number;
  readonly rows: boolean;
  readonly dtype: Node["dtype"];
}

export function loopKernel(loop: LoopStep, cache: KernelCache): Kernel {
  const innerAxes = innerAxesOf(loop);
  if (innerAxes === undefined) throw new Error("compiler: reductions of one loop disagree on its inner axes");
  const cut = loop.domain.length - innerAxes;

  // Collapse outer and inner axes apart where a row means something, all together otherwise.
  const layouts = loop.outputs.flatMap((output) => [
    ...layoutsOf(output.value),
    ...(output.kind === "wide" ? [output.layout] : []),
  ]);
  const hasRows = innerAxes > 0;
  const rowStrides = [...stridesOf(loop.domain.slice(0, cut)), ...new Array<number>(innerAxes).fill(0)];
  const strideSets = [...layouts.map((layout) => layout.strides), ...(hasRows ? [rowStrides] : [])];
  const part = (from: number, to: number) =>
    collapse(
      loop.domain.slice(from, to),
      strideSets.map((set) => set.slice(from, to)),
    );
  let [outer, inner] = hasRows
    ? [part(0, cut), part(cut, loop.domain.length)]
    : [part(0, 0), part(0, loop.domain.length)];
  if (hasRows && outer.shape.length === 0) outer = { shape: [1], strides: strideSets.map(() => [0]) };
  if (inner.shape.length === 0) inner = { shape: [1], strides: strideSets.map(() => [0]) };
  if (!hasRows && inner.shape.length > 1) {
    // Short last axes take their neighbours in, up to what is written out without loops.
    let from = inner.shape.length - 1;
    while (from > 1 && sizeOf(inner.shape.slice(from - 1)) <= straightLine / 2) from--;
    const all = inner;
    outer = { shape: all.shape.slice(0, from), strides: all.strides.map((set) => set.slice(0, from)) };
    inner = { shape: all.shape.slice(from), strides: all.strides.map((set) => set.slice(from)) };
  }
  const stridesOfLayout = (layout: Layout) => {
    const index = layouts.indexOf(layout);
    return index < 0
      ? { outer: outer.strides.at(-1)!, inner: inner.strides.at(-1)! }
      : { outer: outer.strides[index]!, inner: inner.strides[index]! };
  };
  const rowLayout: Layout = { shape: loop.domain, offset: 0, strides: rowStrides };

  // Expressions, in the order of the outputs: later ones may use earlier ones.
  const locals = new Map<Root, Node>();
  const expressions = new Expressions(stridesOfLayout, (root) => {
    const node = locals.get(root);
    if (!node) throw new Error("compiler: a loop uses a value before it is computed");
    return node;
  });
  const stores: Store[] = [];
  const reduces: RowReduce[] = [];
  const pendingAccumulates: { input: Node; output: Extract<LoopOutput, { kind: "accumulate" }> }[] = [];
  for (const output of loop.outputs) {
    const node = expressions.node(output.value);
    switch (output.kind) {
      case "wide":
        locals.set(output.root, node);
        if (output.root.storage)
          stores.push({ access: expressions.access(output.root, output.layout), node });
        break;
      case "row":
        locals.set(output.root, node);
        if (output.root.storage) stores.push({ access: expressions.access(output.root, rowLayout), node });
        break;
      case "rowReduce": {
        const same = reduces.find((r) => r.input === node && r.reduction === output.reduction);
        const result = same?.result ?? expressions.reduced(output.root.dtype, node.stage + 1);
        if (!same) reduces.push({ input: node, result, reduction: output.reduction });
        locals.set(output.root, result);
        if (output.root.storage)
          stores.push({ access: expressions.access(output.root, rowLayout), node: result });
        break;
      }
      case "accumulate":
        pendingAccumulates.push({ input: node, output });
        break;
    }
  }
  const memoryArguments: KernelArgument[] = expressions.accesses.map((a) => ({
    kind: "memory",
    root: a.root,
    offset: a.offset,
  }));
  const accumulates = pendingAccumulates.map(
    ({ input, output }, index): Accumulate => ({
      input,
      reduction: output.reduction,
      parameter: memoryArguments.length + index,
      kept: output.kept,
      rows: output.rows,
      dtype: output.root.dtype,
    }),
  );
  const args: KernelArgument[] = [
    ...memoryArguments,
    ...pendingAccumulates.map(
      ({ output }): KernelArgument => ({
        kind: "partial",
        root: output.root,
        reduction: output.reduction,
        size: output.kept,
      }),
    ),
  ];

  const plan: Plan = { outer: outer.shape, inner: inner.shape, expressions, stores, reduces, accumulates };
  const flat = outer.shape.length === 0;
  const innerSize = sizeOf(inner.shape);
  const { key, scratch, write } = writeLoop(plan, flat);
  return {
    code: cache.define(key, 3 + args.length, write),
    units: flat ? innerSize : sizeOf(outer.shape),
    grain: flat ? 16 : 1,
    arguments: args,
    scratch,
    work: sizeOf(loop.domain) * (1 + expressions.nodes.filter((n) => n.level === 2).length),
  };
}

/** Elements of a row that are computed without any loop. */
const straightLine = 64;
/** Bound on nodes × vectors of such a row. */
const straightLineCode = 600;

interface Plan {
  readonly outer: readonly number[];
  readonly inner: readonly number[];
  readonly expressions: Expressions;
  readonly stores: readonly Store[];
  readonly reduces: readonly RowReduce[];
  readonly accumulates: readonly Accumulate[];
}

const isExpensive = (node: Node): boolean =>
  node.body.kind === "apply" &&
  [
    "exp",
    "expm1",
    "log",
    "log1p",
    "tanh",
    "sigmoid",
    "erf",
    "sin",
    "cos",
    "pow",
    "mix",
    "div",
    "sqrt",
  ].includes(node.body.op.kind);

function writeLoop(plan: Plan, flat: boolean) {
  const { outer, inner, expressions, stores, reduces, accumulates } = plan;
  const { nodes, accesses, patterns } = expressions;
  const lanes: Lanes =
    nodes.some((n) => n.dtype === "f64") || accesses.some((a) => a.dtype === "f64") ? 2 : 4;
  const lastExtent = inner.at(-1)!;
  const innerSize = sizeOf(inner);

  // What each stage's inner loop must produce.
  const stages =
    Math.max(
      0,
      ...reduces.map((r) => r.result.stage),
      ...stores.map((s) => s.node.stage),
      ...accumulates.map((a) => a.input.stage),
    ) + 1;
  const wideStores = stores.filter(
    (s) => s.access.pattern.inner.some((stride) => stride !== 0) || s.node.level === 2,
  );
  const rowStores = stores.filter((s) => !wideStores.includes(s));
  const targetsOf = (stage: number): Node[] => [
    ...wideStores.filter((s) => s.node.stage === stage).map((s) => s.node),
    ...reduces.filter((r) => r.input.stage === stage).map((r) => r.input),
    ...accumulates.filter((a) => !a.rows && a.input.stage === stage).map((a) => a.input),
  ];

  // Wide values that a later stage needs: kept in scratch when recomputing costs a transcendental.
  const coneCost = new Map<Node, boolean>();
  const costly = (node: Node): boolean => {
    const known = coneCost.get(node);
    if (known !== undefined) return known;
    const result =
      node.level === 2 && node.body.kind === "apply" && (isExpensive(node) || node.body.inputs.some(costly));
    coneCost.set(node, result);
    return result;
  };
  const spilled = new Map<Node, number>();
  for (let stage = 0; stage < stages; stage++) {
    const visit = (node: Node) => {
      if (node.level !== 2 || node.body.kind !== "apply") return;
      if (node.stage < stage && costly(node)) {
        if (!spilled.has(node)) spilled.set(node, spilled.size);
        return;
      }
      for (const operand of node.body.inputs) visit(operand);
    };
    for (const target of targetsOf(stage)) visit(target);
  }
  const rowBytes = (innerSize + 4) * 8;
  const scratch = spilled.size * rowBytes;

  const key = JSON.stringify([
    outer,
    inner,
    lanes,
    patterns.map((p) => [p.outer, p.inner]),
    accesses.map((a) => [a.dtype, a.pattern.id]),
    nodes.map((n) => [
      n.dtype,
      describe(n.body),
      n.body.kind === "apply" && n.body.op.kind === "cast" ? n.body.op.dtype : "",
    ]),
    stores.map((s) => [s.access.parameter, s.node.id]),
    reduces.map((r) => [r.input.id, r.result.id, r.reduction]),
    accumulates.map((a) => [a.input.id, a.reduction, a.parameter, a.kept, a.rows]),
  ]);

  const write = (code: Code, begin: Local, end: Local, scratchBase: Local, ...parameters: Local[]) => {
    const value = new Map<Node, Local>();
    const offset = patterns.map(() => code.local("i32")); // of the current row, by pattern
    const pointer = accesses.map(() => code.local("i32")); // of the current row, by access
    const need = new Set<Node>();
    const mark = (node: Node) => {
      if (need.has(node)) return;
      need.add(node);
      if (node.body.kind === "apply") for (const operand of node.body.inputs) mark(operand);
    };
    for (const s of stores) mark(s.node);
    for (const r of reduces) mark(r.input);
    for (const a of accumulates) mark(a.input);

    // Values of level 0 and 1 are vectors with all lanes equal.
    const emitUniform = (node: Node) => {
      const local = code.local("v128");
      if (node.body.kind === "number") pushNumber(code, node.dtype, node.body.value);
      else if (node.body.kind === "load") {
        code.get(
          node.level === 0 ? parameters[node.body.access.parameter]! : pointer[node.body.access.parameter]!,
        );
        load(code, node.dtype, lanes, "splat");
      } else if (node.body.kind === "index") {
        if (node.level === 0) code.i32(node.body.offset);
        else {
          code.get(offset[node.body.pattern.id]!);
          code.i32(node.body.offset);
          code.emit("i32.add");
        }
        code.emit("i32x4.splat");
      } else if (node.body.kind === "apply")
        apply(code, node.body.op, node.dtype, node.body.inputs, (n) => code.get(value.get(n)!));
      code.set(local);
      value.set(node, local);
    };
    for (const node of nodes) if (node.level === 0 && need.has(node)) emitUniform(node);
    for (const r of reduces) value.set(r.result, code.local("v128"));

    // Accumulators over rows.
    const registers = new Map<Accumulate, Local>();
    for (const a of accumulates) {
      if (a.rows || a.kept === 1) {
        const local = code.local("v128");
        pushIdentity(code, a.dtype, a.reduction);
        code.set(local);
        registers.set(a, local);
      } else fillIdentity(code, parameters[a.parameter]!, a, lanes);
    }

    // One pass over the inner points of a row. `from`/`to` bound the last axis (in elements).
    const innerPass = (
      stage: number,
      from: Local | { constant: number },
      to: Local | { constant: number },
    ) => {
      const targets = targetsOf(stage);
      const spills = [...spilled.keys()].filter((node) => node.stage === stage);
      if (targets.length === 0 && spills.length === 0) return;
      const order: Node[] = [];
      const visited = new Set<Node>();
      const visit = (node: Node) => {
        if (visited.has(node) || node.level !== 2) return;
        visited.add(node);
        if (!(spilled.has(node) && node.stage < stage) && node.body.kind === "apply")
          for (const operand of node.body.inputs) visit(operand);
        order.push(node);
      };
      for (const target of [...targets, ...spills]) visit(target);

      const myReduces = reduces.filter((r) => r.input.stage === stage);
      const tails = new Map<RowReduce, Local>();
      const registerTails = new Map<Accumulate, Local>();
      const myAccumulates = accumulates.filter((a) => !a.rows && a.input.stage === stage);
      for (const r of myReduces) {
        for (const map of [value, undefined]) {
          const local = map ? map.get(r.result)! : code.local("v128");
          pushIdentity(code, r.result.dtype, r.reduction);
          code.set(local);
          if (!map) tails.set(r, local);
        }
      }
      for (const a of myAccumulates) {
        if (a.kept !== 1) continue;
        const local = code.local("v128");
        pushIdentity(code, a.dtype, a.reduction);
        code.set(local);
        registerTails.set(a, local);
      }
      const at = code.local("i32"); // position along the last axis, in elements
      const scaled = { 4: code.local("i32"), 8: code.local("i32"), 1: at } as const;
      const linear = code.local("i32"); // number of the inner point, for scratch and kept sums
      const middle = inner.slice(0, -1);
      const indices = middle.map(() => code.local("i32"));

      /** Set while the row is written out: the inner point, known at compile time. */
      let fixed: { readonly indices: readonly number[]; readonly at: number } | undefined;
      const fixedOffset = (strides: readonly number[]): number =>
        [...fixed!.indices, fixed!.at].reduce((sum, index, axis) => sum + index * strides[axis]!, 0);
      /** Pushes the byte address of an access at the current inner point; what is left to add is returned. */
      const pushAddress = (access: Access): number => {
        if (fixed) {
          code.get(pointer[access.parameter]!);
          const rest = fixedOffset(access.pattern.inner);
          if (rest >= 0) return rest;
          code.i32(rest);
          code.emit("i32.add");
          return 0;
        }
        const bytes = bytesOf(access.dtype) as 4 | 8;
        const last = access.pattern.inner.at(-1)!;
        code.get(pointer[access.parameter]!);
        if (last === bytes) {
          code.get(scaled[bytes]);
          code.emit("i32.add");
        } else if (last !== 0) {
          code.get(at);
          code.i32(last);
          code.emit("i32.mul", "i32.add");
        }
        middle.forEach((_, axis) => {
          const stride = access.pattern.inner[axis]!;
          if (stride === 0) return;
          code.get(indices[axis]!);
          code.i32(stride);
          code.emit("i32.mul", "i32.add");
        });
        return 0;
      };
      /** An address in a local, for accesses of single lanes. */
      const holdAddress = (access: Access): Local => {
        const rest = pushAddress(access);
        const address = code.local("i32");
        if (rest !== 0) {
          code.i32(rest);
          code.emit("i32.add");
        }
        code.set(address);
        return address;
      };
      /** Pushes base + linear·bytes of the current point; what is left to add is returned. */
      const pushLinear = (base: Local, bytes: number, shift = 0): number => {
        code.get(base);
        if (fixed)
          return (
            (fixed.indices.reduce((sum, index, axis) => sum + index * sizeOf(inner.slice(axis + 1)), 0) +
              fixed.at) *
              bytes +
            shift
          );
        code.get(linear);
        code.i32(bytes);
        code.emit("i32.mul", "i32.add");
        return shift;
      };
      const body = (mode: "vector" | "lane") => {
        const inLoop = new Map<Node, Local>();
        for (const node of order) {
          const local = code.local("v128");
          if (spilled.has(node) && node.stage < stage) {
            const rest = pushScratch(node);
            load(code, scratchType(node), lanes, mode === "vector" ? "vector" : "splat", rest);
            code.set(local);
          } else if (node.body.kind === "load") {
            const { access } = node.body;
            const last = access.pattern.inner.at(-1)!;
            if (mode === "vector" && last !== bytesOf(access.dtype) && last !== 0) {
              const address = holdAddress(access);
              loadStrided(code, node.dtype, lanes, address, last);
              code.release("i32", address);
            } else {
              const rest = pushAddress(access);
              load(code, node.dtype, lanes, mode === "vector" && last !== 0 ? "vector" : "splat", rest);
            }
            code.set(local);
          } else if (node.body.kind === "index") {
            const { pattern, offset: constantOffset } = node.body;
            const last = pattern.inner.at(-1)!;
            code.get(offset[pattern.id]!);
            if (fixed) code.i32(constantOffset + fixedOffset(pattern.inner));
            else {
              code.get(at);
              code.i32(last);
              code.emit("i32.mul", "i32.add");
              middle.forEach((_, axis) => {
                code.get(indices[axis]!);
                code.i32(pattern.inner[axis]!);
                code.emit("i32.mul", "i32.add");
              });
              code.i32(constantOffset);
            }
            code.emit("i32.add", "i32x4.splat");
            if (mode === "vector" && last !== 0) {
              code.i32x4([0, last, 2 * last, 3 * last]);
              code.emit("i32x4.add");
            }
            code.set(local);
          } else if (node.body.kind === "apply") {
            apply(code, node.body.op, node.dtype, node.body.inputs, (n) =>
              code.get(inLoop.get(n) ?? value.get(n)!),
            );
            code.set(local);
          }
          inLoop.set(node, local);
        }
        const read = (node: Node) => inLoop.get(node) ?? value.get(node)!;
        for (const node of spills) {
          const rest = pushScratch(node);
          code.get(read(node));
          store(code, scratchType(node), lanes, mode, rest);
        }
        for (const s of wideStores.filter((w) => w.node.stage === stage)) {
          const last = s.access.pattern.inner.at(-1)!;
          if (mode === "vector" && last !== bytesOf(s.access.dtype)) {
            const address = holdAddress(s.access);
            const stored = code.local("v128");
            code.get(read(s.node));
            toMemory(code, s.access.dtype);
            code.set(stored);
            storeStrided(code, s.access.dtype, lanes, address, last, stored);
            code.release("i32", address);
            code.release("v128", stored);
          } else {
            const rest = pushAddress(s.access);
            code.get(read(s.node));
            toMemory(code, s.access.dtype);
            store(code, s.access.dtype, lanes, mode, rest);
          }
        }
        for (const r of myReduces) {
          const target = mode === "vector" ? value.get(r.result)! : tails.get(r)!;
          code.get(target);
          code.get(read(r.input));
          combine(code, r.result.dtype, r.reduction);
          code.set(target);
        }
        for (const a of myAccumulates) {
          if (a.kept === 1) {
            const target = mode === "vector" ? registers.get(a)! : registerTails.get(a)!;
            code.get(target);
            code.get(read(a.input));
            combine(code, a.dtype, a.reduction);
            code.set(target);
          } else {
            const address = code.local("i32");
            const rest = pushLinear(parameters[a.parameter]!, bytesOf(a.dtype));
            code.tee(address);
            code.get(address);
            load(code, a.dtype, lanes, mode === "vector" ? "vector" : "splat", rest);
            code.get(read(a.input));
            combine(code, a.dtype, a.reduction);
            store(code, a.dtype, lanes, mode, rest);
            code.release("i32", address);
          }
        }
        for (const local of inLoop.values()) code.release("v128", local);
      };
      const scratchType = (node: Node) => (node.dtype === "bool" ? "i32" : node.dtype);
      const pushScratch = (node: Node): number =>
        pushLinear(scratchBase, bytesOf(node.dtype), spilled.get(node)! * rowBytes);
      const setScaled = () => {
        code.get(at);
        code.i32(2);
        code.emit("i32.shl");
        code.set(scaled[4]);
        if (lanes === 2) {
          code.get(at);
          code.i32(3);
          code.emit("i32.shl");
          code.set(scaled[8]);
        }
        code.get(at);
        middle.forEach((_, axis) => {
          code.get(indices[axis]!);
          code.i32(sizeOf(inner.slice(axis + 1)));
          code.emit("i32.mul", "i32.add");
        });
        code.set(linear);
      };
      const alongLast = () => {
        const vectorEnd = code.local("i32");
        // Last multiple of the vector length above `from`.
        const push = (bound: Local | { constant: number }) =>
          typeof bound === "object" ? code.i32(bound.constant) : code.get(bound);
        push(from);
        push(to);
        push(from);
        code.emit("i32.sub");
        code.i32(-lanes);
        code.emit("i32.and", "i32.add");
        code.set(vectorEnd);
        code.for(at, from, vectorEnd, lanes, () => {
          setScaled();
          body("vector");
        });
        if (
          !(typeof from === "object" && typeof to === "object" && (to.constant - from.constant) % lanes === 0)
        ) {
          code.get(vectorEnd);
          code.set(at);
          code.for(at, "current", to, 1, () => {
            setScaled();
            body("lane");
          });
        }
        code.release("i32", vectorEnd);
      };
      const nest = (axis: number) => {
        if (axis === middle.length) alongLast();
        else code.for(indices[axis]!, { constant: 0 }, { constant: middle[axis]! }, 1, () => nest(axis + 1));
      };
      /** The whole row without loops. */
      const writtenOut = (axis: number, known: readonly number[]) => {
        if (axis < middle.length) {
          for (let index = 0; index < middle[axis]!; index++) writtenOut(axis + 1, [...known, index]);
          return;
        }
        const whole = lastExtent - (lastExtent % lanes);
        for (let position = 0; position < lastExtent; position += position < whole ? lanes : 1) {
          fixed = { indices: known, at: position };
          body(position < whole ? "vector" : "lane");
        }
      };
      if (!flat && innerSize <= straightLine && (innerSize / lanes + 3) * order.length <= straightLineCode)
        writtenOut(0, []);
      else nest(0);
      for (const r of myReduces) {
        const result = value.get(r.result)!;
        acrossLanes(code, r.result.dtype, lanes, r.reduction, result);
        code.get(result);
        code.get(tails.get(r)!);
        combine(code, r.result.dtype, r.reduction);
        code.set(result);
        code.release("v128", tails.get(r)!);
      }
      for (const [a, tail] of registerTails) {
        // The tail holds one element in every lane: only one of them counts.
        const register = registers.get(a)!;
        code.get(register);
        if (a.reduction === "sum") {
          code.get(tail);
          code.i32x4(a.dtype === "f64" ? [-1, -1, 0, 0] : [-1, 0, 0, 0]);
          code.emit("v128.and");
        } else code.get(tail);
        combine(code, a.dtype, a.reduction);
        code.set(register);
        code.release("v128", tail);
      }
      for (const local of [at, scaled[4], scaled[8], linear, ...indices]) code.release("i32", local);
    };

    const setPointers = () => {
      for (const access of accesses) {
        code.get(parameters[access.parameter]!);
        code.get(offset[access.pattern.id]!);
        code.emit("i32.add");
        code.set(pointer[access.parameter]!);
      }
    };
    const row = (from: Local | { constant: number }, to: Local | { constant: number }) => {
      for (let stage = 0; stage < stages; stage++) {
        for (const node of nodes)
          if (node.level === 1 && node.stage === stage && need.has(node) && node.body.kind !== "reduced")
            emitUniform(node);
        for (const s of rowStores) {
          if (s.node.stage !== stage) continue;
          code.get(pointer[s.access.parameter]!);
          code.get(value.get(s.node)!);
          toMemory(code, s.access.dtype);
          store(code, s.access.dtype, lanes, "lane");
        }
        for (const a of accumulates) {
          if (!a.rows || a.input.stage !== stage) continue;
          const register = registers.get(a)!;
          code.get(register);
          code.get(value.get(a.input)!);
          combine(code, a.dtype, a.reduction);
          code.set(register);
        }
        innerPass(stage, from, to);
      }
      for (const node of nodes) {
        const local = value.get(node);
        if (node.level === 1 && node.body.kind !== "reduced" && local !== undefined) {
          code.release("v128", local);
          value.delete(node);
        }
      }
    };

    if (flat) {
      for (const local of offset) {
        code.i32(0);
        code.set(local);
      }
      setPointers();
      code.get(begin);
      code.get(end);
      code.emit("i32.lt_s");
      code.if(() => row(begin, end));
    } else {
      overRows(code, outer, begin, end, patterns, offset, () => {
        setPointers();
        row({ constant: 0 }, { constant: lastExtent });
      });
    }
    for (const a of accumulates) {
      const register = registers.get(a);
      if (register === undefined) continue;
      if (!a.rows) acrossLanes(code, a.dtype, lanes, a.reduction, register);
      code.get(parameters[a.parameter]!);
      code.get(register);
      store(code, a.dtype, lanes, "lane");
    }
  };
  return { key, scratch, write };
}

/** Fills a thread's partial result with the reduction's identity. */
function fillIdentity(code: Code, address: Local, a: Accumulate, lanes: Lanes): void {
  const at = code.local("i32");
  const bytes = bytesOf(a.dtype);
  code.for(at, { constant: 0 }, { constant: a.kept * bytes }, bytes, () => {
    code.get(address);
    code.get(at);
    code.emit("i32.add");
    pushIdentity(code, a.dtype, a.reduction);
    store(code, a.dtype, lanes, "lane");
  });
  code.release("i32", at);
}

/**
 * for row in [begin, end): keeps each pattern's byte offset of the row in `offset`, moved like an odometer:
 * one addition a row, and a correction where an axis wraps around.
 */
export function overRows(
  code: Code,
  extents: readonly number[],
  begin: Local,
  end: Local,
  patterns: readonly Pattern[],
  offset: readonly Local[],
  body: () => void,
): void {
  const row = code.local("i32");
  const index = extents.map(() => code.local("i32"));
  const rest = code.local("i32");
  code.get(begin);
  code.set(rest);
  for (let axis = extents.length - 1; axis >= 0; axis--) {
    if (axis === 0) {
      code.get(rest);
      code.set(index[0]!);
      continue;
    }
    code.get(rest);
    code.i32(extents[axis]!);
    code.emit("i32.rem_u");
    code.set(index[axis]!);
    code.get(rest);
    code.i32(extents[axis]!);
    code.emit("i32.div_u");
    code.set(rest);
  }
  patterns.forEach((pattern, p) => {
    code.i32(0);
    pattern.outer.forEach((stride, axis) => {
      if (stride === 0) return;
      code.get(index[axis]!);
      code.i32(stride);
      code.emit("i32.mul", "i32.add");
    });
    code.set(offset[p]!);
  });
  const advance = (axis: number) => {
    patterns.forEach((pattern, p) => {
      const wrapped = axis + 1 < extents.length ? extents[axis + 1]! * pattern.outer[axis + 1]! : 0;
      const delta = pattern.outer[axis]! - wrapped;
      if (delta === 0) return;
      code.get(offset[p]!);
      code.i32(delta);
      code.emit("i32.add");
      code.set(offset[p]!);
    });
    if (axis === 0) return;
    code.get(index[axis]!);
    code.i32(1);
    code.emit("i32.add");
    code.tee(index[axis]!);
    code.i32(extents[axis]!);
    code.emit("i32.eq");
    code.if(() => {
      code.i32(0);
      code.set(index[axis]!);
      advance(axis - 1);
    });
  };
  code.for(row, begin, end, 1, () => {
    body();
    advance(extents.length - 1);
  });
  for (const local of [row, rest, ...index]) code.release("i32", local);
}

/** A reduction whose kept axes surround the reduced ones: registers hold the result of a vector of kept points. */
export function windowKernel(step: WindowStep, cache: KernelCache): Kernel {
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
  const node = expressions.node(step.value);
  const target = expressions.access(step.root, resultLayout);
  const plan: Plan = {
    outer: outer.shape.length === 0 ? [1] : outer.shape,
    inner: [...window.shape, last.extent],
    expressions,
    stores: [],
    reduces: [],
    accumulates: [],
  };
  if (outer.shape.length === 0)
    for (const pattern of expressions.patterns) (pattern.outer as number[]).push(0);
  const { key, write } = writeWindow(plan, node, target, step.reduction);
  return {
    code: cache.define(key, 3 + expressions.accesses.length, write),
    units: sizeOf(plan.outer),
    grain: 1,
    arguments: expressions.accesses.map((a) => ({ kind: "memory", root: a.root, offset: a.offset })),
    scratch: 0,
    work: sizeOf(step.domain) * 2,
  };
}

function writeWindow(plan: Plan, input: Node, target: Access, reduction: Reduction) {
  const { outer, inner, expressions } = plan;
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
    let known: readonly number[] | undefined;
    /** Pushes the offset of the current point; what is left to add is returned. */
    const pushOffset = (pattern: Pattern): number => {
      code.get(offset[pattern.id]!);
      [...(known ? [] : indices), at].forEach((index, axis) => {
        const stride = pattern.inner[known ? windowShape.length : axis]!;
        if (stride === 0) return;
        code.get(index);
        code.i32(stride);
        code.emit("i32.mul", "i32.add");
      });
      return known ? known.reduce((sum, index, axis) => sum + index * pattern.inner[axis]!, 0) : 0;
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
      code.get(accumulator);
      code.get(values.get(input)!);
      combine(code, input.dtype, reduction);
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
      code.get(at);
      code.i32(bytesOf(target.dtype));
      code.emit("i32.mul", "i32.add");
      code.get(accumulator);
      store(code, target.dtype, lanes, mode);
    };
    const whole = extent - (extent % lanes);
    overRows(code, outer, begin, end, patterns, offset, () => {
      code.for(at, { constant: 0 }, { constant: whole }, lanes, () => pass("vector"));
      code.for(at, { constant: whole }, { constant: extent }, 1, () => pass("lane"));
    });
  };
  return { key, write };
}
