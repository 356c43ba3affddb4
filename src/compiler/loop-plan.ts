/**
 * Loop step → what its kernel computes and where: axes split into rows and inner points, expressions without
 * repetitions, what each stage evaluates, what is kept between stages. Costs are counted from it, code is written from
 * it.
 */
import { sizeOf, stridesOf } from "../tensor/shape.js";
import { type Access, Expressions, layoutsOf, type Node } from "./expression.js";
import type { KernelArgument } from "./kernel.js";
import { collapse, type Layout } from "./layout.js";
import {
  innerAxesOf,
  type LoopOutput,
  type LoopStep,
  type Reduction,
  type Root,
  transcendental,
} from "./step.js";

export interface Store {
  readonly access: Access;
  readonly node: Node;
}
export interface RowReduce {
  readonly input: Node;
  readonly result: Node;
  readonly reduction: Reduction;
}
export interface Accumulate {
  readonly input: Node;
  readonly reduction: Reduction;
  readonly parameter: number;
  readonly kept: number;
  readonly rows: boolean;
  readonly dtype: Node["dtype"];
}

/** What a loop's kernel computes, before any code. */
export interface LoopPlan {
  readonly outer: readonly number[];
  readonly inner: readonly number[];
  readonly expressions: Expressions;
  readonly stores: readonly Store[];
  readonly reduces: readonly RowReduce[];
  readonly accumulates: readonly Accumulate[];
  readonly arguments: readonly KernelArgument[];
}

/** Elements of a row that are computed without any loop. */
export const straightLine = 64;
export function planLoop(loop: LoopStep): LoopPlan {
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

  return {
    outer: outer.shape,
    inner: inner.shape,
    expressions,
    stores,
    reduces,
    accumulates,
    arguments: args,
  };
}

const expensiveKinds = new Set([...transcendental, "mix", "div", "sqrt"]);
const isExpensive = (node: Node): boolean =>
  node.body.kind === "apply" && expensiveKinds.has(node.body.op.kind);

/** How the stages of a loop share its work. */
export interface Stages {
  readonly count: number;
  /** Stores of one value for each inner point, and of one for each row. */
  readonly wideStores: readonly Store[];
  readonly rowStores: readonly Store[];
  /** Values of level 2 that are kept in scratch between stages, with their places. */
  readonly spilled: ReadonlyMap<Node, number>;
  /** Values of level 2 that a stage computes, or reads back where they are spilled earlier, operands first. */
  valuesOf(stage: number): readonly Node[];
}

export function stagesOf({ stores, reduces, accumulates }: LoopPlan): Stages {
  const count =
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
  // What the inner points of a stage must produce.
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
  for (let stage = 0; stage < count; stage++) {
    const visited = new Set<Node>();
    const visit = (node: Node) => {
      if (node.level !== 2 || node.body.kind !== "apply" || visited.has(node)) return;
      visited.add(node);
      if (node.stage < stage && costly(node)) {
        if (!spilled.has(node)) spilled.set(node, spilled.size);
        return;
      }
      for (const operand of node.body.inputs) visit(operand);
    };
    for (const target of targetsOf(stage)) visit(target);
  }
  const valuesOf = (stage: number): readonly Node[] => {
    const order: Node[] = [];
    const visited = new Set<Node>();
    const visit = (node: Node) => {
      if (visited.has(node) || node.level !== 2) return;
      visited.add(node);
      if (!(spilled.has(node) && node.stage < stage) && node.body.kind === "apply")
        for (const operand of node.body.inputs) visit(operand);
      order.push(node);
    };
    const spills = [...spilled.keys()].filter((node) => node.stage === stage);
    for (const target of [...targetsOf(stage), ...spills]) visit(target);
    return order;
  };
  return { count, wideStores, rowStores, spilled, valuesOf };
}
