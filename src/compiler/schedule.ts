/**
 * Program → ordered steps. A tensor that gets memory is a *root*; every other tensor is computed where it is used.
 * Elementwise roots and reductions over one iteration space share a loop; contractions and indexing are steps of
 * their own.
 *
 * Order: a step is numbered when it is created and only depends on smaller numbers. A root may join an existing
 * loop whose number is at least that of everything it reads, so the numbering stays a valid order.
 */
import type { DType } from "../tensor/dtype.js";
import { isBinary, isCompare, isUnary, type Op, type Window } from "../tensor/op.js";
import { type Program, reachable } from "../tensor/program.js";
import { type Shape, sameShape, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { contiguous, isContiguous, isViewKind, type Layout, type ViewOp, view } from "./layout.js";

/** A tensor that lives in memory. */
export interface Root {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  /**
   * Whose memory holds its elements, from which one on: its own, set when memory is planned, or part of another root's,
   * set when that one is scheduled.
   */
  storage?: { readonly root: Root; readonly offset: number };
}

/** An expression evaluated at each point of a loop; `layout` maps the loop's domain to elements of the root. */
export type Value =
  | { readonly kind: "load"; readonly root: Root; readonly layout: Layout }
  /** The value of another root of the same loop at the same point (wide) or row. */
  | { readonly kind: "local"; readonly root: Root; readonly dtype: DType }
  | { readonly kind: "number"; readonly dtype: DType; readonly value: number }
  /** The element number itself: iota. */
  | { readonly kind: "index"; readonly dtype: DType; readonly layout: Layout }
  | {
      readonly kind: "random";
      readonly dtype: DType;
      readonly stream: number;
      readonly key: readonly [Value, Value];
      readonly layout: Layout;
    }
  | {
      readonly kind: "apply";
      readonly dtype: DType;
      readonly op: ElementwiseOp;
      readonly inputs: readonly Value[];
    };

export type ElementwiseOp = Extract<
  Op,
  | { kind: "select" | "cast" }
  | { kind: import("../tensor/op.js").UnaryKind }
  | { kind: import("../tensor/op.js").BinaryKind }
  | { kind: import("../tensor/op.js").CompareKind }
>;

/** What a loop computes for one root. */
export type LoopOutput =
  /** One value for each point of the domain. */
  | { readonly kind: "wide"; readonly root: Root; readonly value: Value; readonly layout: Layout }
  /** One value for each row (point of the outer axes). */
  | { readonly kind: "row"; readonly root: Root; readonly value: Value }
  /** A reduction along the inner axes: one value for each row. */
  | { readonly kind: "rowReduce"; readonly root: Root; readonly reduction: Reduction; readonly value: Value }
  /** A reduction over leading axes; the last `kept` elements of the domain remain. `rows`: of a value for each row. */
  | {
      readonly kind: "accumulate";
      readonly root: Root;
      readonly reduction: Reduction;
      readonly value: Value;
      readonly kept: number;
      readonly rows: boolean;
    };

export type Reduction = "sum" | "max";

export interface LoopStep {
  readonly kind: "loop";
  readonly order: number;
  readonly domain: Shape;
  /** Number of trailing axes that row reductions consume; 0 while there are none. */
  innerAxes: number;
  readonly outputs: LoopOutput[];
  readonly reads: Set<Root>;
}
/** A reduction over axes that are neither leading nor trailing: max pooling, for one. */
export interface WindowStep {
  readonly kind: "window";
  readonly order: number;
  readonly domain: Shape;
  readonly axes: readonly number[];
  readonly reduction: Reduction;
  readonly value: Value;
  readonly root: Root;
  readonly reads: Set<Root>;
}
export interface Operand {
  readonly root: Root;
  readonly layout: Layout;
}
export interface DotStep {
  readonly kind: "dot";
  readonly order: number;
  readonly root: Root;
  readonly a: Operand;
  readonly b: Operand;
  /** Adds to what the storage holds instead of overwriting it. */
  readonly accumulate: boolean;
  readonly reads: Set<Root>;
}
/**
 * A convolution as products with image patches that are made a few images at a time, never all at once.
 * P: patches of `image` as [positions, kernel·channels].
 *   forward: P·other       weights: Pᵀ·other       gram: Pᵀ·P       input: the fold of other·weights
 */
export interface ConvStep {
  readonly kind: "conv";
  readonly order: number;
  readonly direction: "forward" | "weights" | "gram" | "input";
  readonly window: Window;
  /** Shapes of the image [n, h, w, c] and of the patches [n, oh, ow, k]. */
  readonly image: Shape;
  readonly patches: Shape;
  readonly root: Root;
  /** forward: image, weights; weights: image, gradient; gram: image; input: gradient, transposed weights. */
  readonly operands: readonly Operand[];
  readonly reads: Set<Root>;
}
/** Steps whose operands are contiguous. */
export interface PlainStep {
  readonly kind: "plain";
  readonly order: number;
  readonly op: PlainOp;
  readonly root: Root;
  readonly operands: readonly Operand[];
  readonly reads: Set<Root>;
}
export type PlainOp =
  | Extract<Op, { kind: "patches" | "fold" | "gather" | "scatterAdd" | "cumsum" | "argMax" }>
  | { readonly kind: "zero" };
export type Step = LoopStep | WindowStep | DotStep | ConvStep | PlainStep;

export interface Schedule {
  readonly steps: readonly Step[];
  readonly roots: readonly Root[];
  /** In the order of the program's inputs, those that nothing uses included. */
  readonly inputs: readonly Root[];
  readonly outputs: readonly Root[];
  /** A root may be the output under another shape of the same size. */
  readonly outputShapes: readonly Shape[];
  readonly constants: ReadonlyMap<Root, Tensor>;
}

/** Instructions of which one is worth a memory access, or several. */
const expensiveKinds = new Set([
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
  "random",
]);
/** Not worth a memory access on their own, but worth one that many points share. */
const slowWhenStretched = new Set(["div", "sqrt"]);
const inlineLimit = 3;
const expressionLimit = 48;
/** Bound on the loads and stores of one loop; engines allow a function 1000 parameters. */
const loopLimit = 500;

const isElementwise = (op: Op): boolean =>
  isUnary(op) ||
  isBinary(op) ||
  isCompare(op) ||
  op.kind === "select" ||
  op.kind === "cast" ||
  op.kind === "random";

class NeedsCopy extends Error {
  constructor(readonly tensor: Tensor) {
    super("a view that strides cannot express");
  }
}

export function schedule(program: Program): Schedule {
  const order = reachable(program.outputs);
  const rootOf = new Map<Tensor, Root>();
  const stepOf = new Map<Root, Step>();
  const steps: Step[] = [];
  const roots: Root[] = [];
  const constants = new Map<Root, Tensor>();
  const loopsReading = new Map<Root, LoopStep[]>();
  const isOutput = new Set(program.outputs);

  const newRoot = (tensor: { dtype: DType; shape: Shape }): Root => {
    const root = { id: roots.length, dtype: tensor.dtype, shape: tensor.shape, size: sizeOf(tensor.shape) };
    roots.push(root);
    return root;
  };
  const sequence = (root: Root): number => stepOf.get(root)?.order ?? -1;
  const inputs = program.inputs.map((tensor) => {
    const root = newRoot(tensor);
    rootOf.set(tensor, root);
    return root;
  });

  const accumulates = chooseAccumulations(order, isOutput);
  const needsMemory = chooseRoots(order, isOutput, accumulates);
  const { patchesOnly, foldedOnly } = chooseConvolutions(order, isOutput);

  // ------------------------------------------------------------------ expressions

  interface Through {
    readonly op: ViewOp;
    readonly source: Tensor;
  }
  /** The value of `tensor`, seen through views (innermost first), as an expression of loads. */
  const lower = (tensor: Tensor, views: readonly Through[], loop?: LoopStep): Value => {
    const layoutThrough = (shape: Shape): Layout => {
      let layout = contiguous(shape);
      for (const { op, source } of views) {
        const next = view(layout, op);
        if (!next) throw new NeedsCopy(source);
        layout = next;
      }
      return layout;
    };
    const root = rootOf.get(tensor);
    if (root) {
      const layout = layoutThrough(tensor.shape);
      const own = loop?.outputs.find((output) => output.root === root);
      // Not from memory that this very loop fills: a concatenation whose parts are its outputs.
      if (!own && loop && sequence(root) >= loop.order) throw new CannotJoin();
      if (!own || !loop) return { kind: "load", root, layout };
      if (own.kind === "wide" && sizeOf(own.layout.shape) !== root.size) throw new CannotJoin();
      if (own.kind === "wide" && layout.offset === 0 && isContiguous(layout))
        return { kind: "local", root, dtype: root.dtype };
      if ((own.kind === "row" || own.kind === "rowReduce") && isRowLayout(layout, loop))
        return { kind: "local", root, dtype: root.dtype };
      throw new CannotJoin();
    }
    if (isViewKind(tensor.op)) {
      const source = tensor.inputs[0]!;
      return lower(source, [{ op: tensor.op, source }, ...views], loop);
    }
    const { op, dtype } = tensor;
    switch (op.kind) {
      case "fill":
        return { kind: "number", dtype, value: op.value };
      case "iota": {
        const shape = tensor.shape;
        const start: Layout = {
          shape,
          offset: 0,
          strides: shape.map((_, axis) => (axis === op.axis ? 1 : 0)),
        };
        let layout = start;
        for (const { op: viewOp, source } of views) {
          const next = view(layout, viewOp);
          if (!next) throw new NeedsCopy(source);
          layout = next;
        }
        return { kind: "index", dtype, layout };
      }
      case "random": {
        const key = tensor.inputs[0]!;
        const domain = views.at(-1) ? layoutThrough(tensor.shape).shape : tensor.shape;
        const word = (index: number): Value => {
          const scalar = key.slice(0, index, index + 1).reshape([]);
          const stretch: Through[] =
            domain.length === 0
              ? []
              : [
                  { op: { kind: "reshape", shape: domain.map(() => 1) }, source: scalar },
                  { op: { kind: "expand", shape: domain }, source: scalar },
                ];
          return lower(scalar, stretch, loop);
        };
        return {
          kind: "random",
          dtype,
          stream: op.stream,
          key: [word(0), word(1)],
          layout: layoutThrough(tensor.shape),
        };
      }
      default:
        return {
          kind: "apply",
          dtype,
          op: op as ElementwiseOp,
          inputs: tensor.inputs.map((operand) => lower(operand, views, loop)),
        };
    }
  };
  /** Repeats `attempt`, giving memory to tensors whose views cannot be followed. */
  const withCopies = <T>(attempt: () => T): T => {
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (!(error instanceof NeedsCopy)) throw error;
        materialize(error.tensor);
      }
    }
  };
  /** Gives a tensor (a view or an inlined expression) memory of its own. */
  const materialize = (tensor: Tensor): Root => {
    if (rootOf.has(tensor))
      throw new Error(`compiler: ${tensor} has memory, yet its view cannot be followed`);
    const value = withCopies(() => lower(tensor, []));
    const root = newRoot(tensor);
    addLoop(tensor.shape, 0, { kind: "wide", root, value, layout: contiguous(tensor.shape) });
    rootOf.set(tensor, root);
    return root;
  };

  // ------------------------------------------------------------------ loops

  const addLoop = (domain: Shape, innerAxes: number, output: LoopOutput): LoopStep => {
    const loop: LoopStep = {
      kind: "loop",
      order: steps.length,
      domain,
      innerAxes,
      outputs: [],
      reads: new Set(),
    };
    steps.push(loop);
    addOutput(loop, output);
    return loop;
  };
  const accessesOf = new Map<LoopStep, number>();
  const addOutput = (loop: LoopStep, output: LoopOutput) => {
    loop.outputs.push(output);
    accessesOf.set(loop, (accessesOf.get(loop) ?? 0) + 1 + loadsOf(output.value));
    if (!stepOf.has(output.root) || output.kind !== "wide" || isContiguous(output.layout))
      stepOf.set(output.root, loop);
    for (const root of readsOf(output.value)) {
      if (loop.reads.has(root)) continue;
      loop.reads.add(root);
      const list = loopsReading.get(root);
      if (list) list.push(loop);
      else loopsReading.set(root, [loop]);
    }
  };
  /** Loops that may take a root that reads `reads`, best first: the one that makes its newest input, then sharers. */
  const candidates = (reads: readonly Root[], size: number): LoopStep[] => {
    const newest = reads.reduce((max, root) => Math.max(max, sequence(root)), -1);
    const found = new Set<LoopStep>();
    const producer = steps[newest];
    if (producer?.kind === "loop") found.add(producer);
    for (const root of reads) {
      if (root.size < Math.min(64, size)) continue;
      for (const loop of loopsReading.get(root)?.slice(-4) ?? []) if (loop.order > newest) found.add(loop);
    }
    return [...found].sort((a, b) => (a === producer ? -1 : b === producer ? 1 : b.order - a.order));
  };
  /** Tries to add a root to an existing loop; `shape` is the shape of the value before any reduction. */
  const join = (
    tensor: Tensor,
    source: Tensor,
    root: Root,
    make: (loop: LoopStep, rows: boolean) => ((value: Value) => LoopOutput) | undefined,
    reads: readonly Root[],
  ): boolean => {
    const size = source.size;
    for (const loop of candidates(reads, size)) {
      if (accessesOf.get(loop)! > loopLimit) continue;
      const outer = loop.domain.slice(0, loop.domain.length - loop.innerAxes);
      for (const rows of [false, true]) {
        if (rows && (loop.innerAxes === 0 || sizeOf(outer) !== size)) continue;
        if (!rows && sizeOf(loop.domain) !== size) continue;
        const savedInner = loop.innerAxes;
        const output = make(loop, rows);
        if (!output) continue;
        const stretched = [...outer, ...new Array<number>(loop.innerAxes).fill(1)];
        const steps: Through[] = rows
          ? [
              { op: { kind: "reshape", shape: stretched }, source },
              { op: { kind: "expand", shape: loop.domain }, source },
            ]
          : [{ op: { kind: "reshape", shape: loop.domain }, source }];
        try {
          const value = lower(source, sameShape(source.shape, loop.domain) && !rows ? [] : steps, loop);
          const added = output(value);
          if (innerAxesOf({ ...loop, outputs: [...loop.outputs, added] }) === undefined)
            throw new CannotJoin();
          addOutput(loop, added);
          rootOf.set(tensor, root);
          return true;
        } catch (error) {
          loop.innerAxes = savedInner;
          if (!(error instanceof CannotJoin || error instanceof NeedsCopy)) throw error;
        }
      }
    }
    return false;
  };

  const placeElementwise = (tensor: Tensor) => {
    const value = withCopies(() => lower(tensor, []));
    const root = newRoot(tensor);
    const joined = join(
      tensor,
      tensor,
      root,
      (loop, rows) => (own) =>
        rows
          ? { kind: "row", root, value: own }
          : { kind: "wide", root, value: own, layout: contiguous(loop.domain) },
      readsOf(value),
    );
    if (joined) return;
    addLoop(tensor.shape, 0, { kind: "wide", root, value, layout: contiguous(tensor.shape) });
    rootOf.set(tensor, root);
  };

  /** Lets the newer of two products add onto the older one. */
  const placeAccumulation = (tensor: Tensor): boolean => {
    const [sum, next] = tensor.inputs.map((source) => rootOf.get(source));
    const step = next && stepOf.get(next);
    const older = sum && stepOf.get(sum);
    if (!sum || step?.kind !== "dot" || older?.kind !== "dot" || older.order > step.order) return false;
    next!.storage = { root: sum, offset: 0 };
    steps[step.order] = { ...step, accumulate: true };
    stepOf.set(next!, steps[step.order]!);
    rootOf.set(tensor, next!);
    return true;
  };

  const placeReduction = (tensor: Tensor, axes: readonly number[], reduction: Reduction) => {
    const source = tensor.inputs[0]!;
    const value = withCopies(() => lower(source, []));
    const reads = readsOf(value);
    const root = newRoot(tensor);
    const rank = source.rank;
    const significant = source.shape.flatMap((extent, axis) => (extent === 1 ? [] : [axis]));
    const reduced = significant.filter((axis) => axes.includes(axis));
    const trailing = reduced.every(
      (axis, index) => axis === significant[significant.length - reduced.length + index],
    );
    const leading = reduced.every((axis, index) => axis === significant[index]);
    const all = reduced.length === significant.length;
    const kept = tensor.size;
    const perRow = source.size / Math.max(1, kept);
    if (!all && trailing) {
      const firstReduced = reduced[0] ?? rank;
      const innerOf = (loop: LoopStep): number | undefined => {
        for (let count = 1; count <= loop.domain.length; count++) {
          const product = sizeOf(loop.domain.slice(loop.domain.length - count));
          if (product === perRow) return count;
          if (product > perRow) return undefined;
        }
        return undefined;
      };
      const joined = join(
        tensor,
        source,
        root,
        (loop, rows) => {
          if (rows) return undefined;
          const inner = innerOf(loop);
          if (inner === undefined || (loop.innerAxes !== 0 && loop.innerAxes !== inner)) return undefined;

          loop.innerAxes = inner;
          return (own) => ({ kind: "rowReduce", root, reduction, value: own });
        },
        reads,
      );
      if (joined) return;
      // Reduced axes with all trailing extents of 1 included.
      addLoop(source.shape, rank - firstReduced, { kind: "rowReduce", root, reduction, value });
      rootOf.set(tensor, root);
      return;
    }
    if (leading) {
      const joined = join(
        tensor,
        source,
        root,
        (_, rows) => {
          if (rows && !all) return undefined;
          return (own) => ({ kind: "accumulate", root, reduction, value: own, kept: all ? 1 : kept, rows });
        },
        reads,
      );
      if (joined) return;
      addLoop(source.shape, 0, {
        kind: "accumulate",
        root,
        reduction,
        value,
        kept: all ? 1 : kept,
        rows: false,
      });
      rootOf.set(tensor, root);
      return;
    }
    const step: WindowStep = {
      kind: "window",
      order: steps.length,
      domain: source.shape,
      axes,
      reduction,
      value,
      root,
      reads: new Set(reads),
    };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
  };

  // ------------------------------------------------------------------ other steps

  /** The tensor as a view of memory. */
  const operand = (tensor: Tensor): Operand => {
    const value = withCopies(() => lower(tensor, []));
    if (value.kind === "load") return { root: value.root, layout: value.layout };
    const root = materialize(tensor);
    return { root, layout: contiguous(tensor.shape) };
  };
  const copied = (tensor: Tensor): Operand => ({
    root: materialize(tensor),
    layout: contiguous(tensor.shape),
  });
  const contiguousOperand = (tensor: Tensor): Operand => {
    const found = operand(tensor);
    return isContiguous(found.layout) ? found : copied(tensor);
  };
  const matrixOperand = (tensor: Tensor): Operand => {
    const found = operand(tensor);
    return matrixForm(found.layout) ? found : copied(tensor);
  };
  /** A matrix whose rows follow each other. */
  const rowsOperand = (tensor: Tensor): Operand => {
    const found = operand(tensor);
    return matrixForm(found.layout)?.transposed === false ? found : copied(tensor);
  };
  const placeConv = (
    tensor: Tensor,
    direction: ConvStep["direction"],
    window: Window,
    image: Shape,
    patches: Shape,
    operands: readonly Operand[],
  ) => {
    const root = newRoot(tensor);
    const reads = new Set(operands.map((o) => o.root));
    const step: ConvStep = {
      kind: "conv",
      order: steps.length,
      direction,
      window,
      image,
      patches,
      root,
      operands,
      reads,
    };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
  };
  /** Places a product with patches that have no memory of their own; false when it is none. */
  const placePatchProduct = (tensor: Tensor): boolean => {
    const left = patchMatrix(tensor.inputs[0]!);
    if (!left || !patchesOnly.has(left.patches)) return false;
    const { patches, transposed } = left;
    const { window } = patches.op as Extract<Op, { kind: "patches" }>;
    const image = contiguousOperand(patches.inputs[0]!);
    const right = patchMatrix(tensor.inputs[1]!);
    const imageShape = patches.inputs[0]!.shape;
    if (right?.patches === patches) placeConv(tensor, "gram", window, imageShape, patches.shape, [image]);
    else if (transposed)
      placeConv(tensor, "weights", window, imageShape, patches.shape, [
        image,
        rowsOperand(tensor.inputs[1]!),
      ]);
    else
      placeConv(tensor, "forward", window, imageShape, patches.shape, [
        image,
        matrixOperand(tensor.inputs[1]!),
      ]);
    return true;
  };
  const placePlain = (tensor: Tensor, op: PlainOp, operands: readonly Operand[]): Root => {
    const root = newRoot(tensor);
    const step: PlainStep = {
      kind: "plain",
      order: steps.length,
      op,
      root,
      operands,
      reads: new Set(operands.map((o) => o.root)),
    };
    steps.push(step);
    stepOf.set(root, step);
    rootOf.set(tensor, root);
    return root;
  };
  /** Writes a tensor into part of `target`. */
  const copyInto = (target: Root, layout: Layout, tensor: Tensor) => {
    const value = withCopies(() => lower(tensor, []));
    const step = addLoop(tensor.shape, 0, { kind: "wide", root: target, value, layout });
    stepOf.set(target, step);
  };

  const aliased = new Set<Root>();
  const placeConcat = (tensor: Tensor, axis: number) => {
    const parts = tensor.inputs.map((part) => ({ part, source: withCopies(() => lower(part, [])) }));
    const root = newRoot(tensor);
    const whole = contiguous(tensor.shape);
    const inOrder = tensor.shape.slice(0, axis).every((extent) => extent === 1);
    let start = 0;
    for (const { part, source } of parts) {
      const offset = start * (whole.strides[axis] ?? 1);
      start += part.shape[axis]!;
      if (part.size === 0) continue;
      // Where the part is a whole root that nothing else has placed, it is computed here in the first place.
      if (
        inOrder &&
        source.kind === "load" &&
        stepOf.has(source.root) &&
        !aliased.has(ownerOf(source.root)) &&
        source.root.size === part.size &&
        source.layout.offset === 0 &&
        isContiguous(source.layout)
      ) {
        const owner = ownerOf(source.root);
        owner.storage = { root, offset };
        aliased.add(owner);
        const placed = stepOf.get(source.root)!;
        if (placed.order > (stepOf.get(root)?.order ?? -1)) stepOf.set(root, placed);
      } else copyInto(root, { shape: part.shape, offset, strides: whole.strides }, part);
    }
    rootOf.set(tensor, root);
    // The concatenation exists once its last part does.
    const last = steps
      .filter((step) => writesInto(step, root))
      .reduce((max, step) => Math.max(max, step.order), -1);
    if (last >= 0) stepOf.set(root, steps[last]!);
  };
  const writesInto = (step: Step, target: Root): boolean =>
    step.kind === "loop"
      ? step.outputs.some((output) => livesIn(output.root, target))
      : livesIn(step.root, target);

  const placePad = (tensor: Tensor, op: Extract<Op, { kind: "pad" }>) => {
    const source = tensor.inputs[0]!;
    const root = placePlain(tensor, { kind: "zero" }, []);
    if (source.size === 0) return;
    const { strides } = contiguous(tensor.shape);
    const layout: Layout = {
      shape: source.shape,
      offset: op.low.reduce((sum, before, axis) => sum + before * strides[axis]!, 0),
      strides: strides.map((s, axis) => s * (op.interior[axis]! + 1)),
    };
    copyInto(root, layout, source);
  };

  for (const tensor of order) {
    if (rootOf.has(tensor)) continue;
    const { op } = tensor;
    if (op.kind === "input") continue;
    if (op.kind === "constant") {
      const root = newRoot(tensor);
      constants.set(root, tensor);
      rootOf.set(tensor, root);
    } else if (isElementwise(op)) {
      if (accumulates.has(tensor) && placeAccumulation(tensor)) continue;
      if (needsMemory.has(tensor)) placeElementwise(tensor);
    } else {
      switch (op.kind) {
        case "reduceSum":
          placeReduction(tensor, op.axes, "sum");
          break;
        case "reduceMax":
          placeReduction(tensor, op.axes, "max");
          break;
        case "dot": {
          if (foldedOnly.has(tensor) || placePatchProduct(tensor)) break;
          const [a, b] = [matrixOperand(tensor.inputs[0]!), matrixOperand(tensor.inputs[1]!)];
          const root = newRoot(tensor);
          const step: DotStep = {
            kind: "dot",
            order: steps.length,
            root,
            a,
            b,
            accumulate: false,
            reads: new Set([a.root, b.root]),
          };
          steps.push(step);
          stepOf.set(root, step);
          rootOf.set(tensor, root);
          break;
        }
        case "concat":
          placeConcat(tensor, op.axis);
          break;
        case "pad":
          placePad(tensor, op);
          break;
        case "patches":
          if (!patchesOnly.has(tensor)) placePlain(tensor, op, tensor.inputs.map(contiguousOperand));
          break;
        case "fold": {
          const product = throughReshape(tensor.inputs[0]!);
          if (foldedOnly.has(product)) {
            const gradient = rowsOperand(product.inputs[0]!);
            const weights = matrixOperand(product.inputs[1]!);
            placeConv(tensor, "input", op.window, tensor.shape, tensor.inputs[0]!.shape, [gradient, weights]);
          } else placePlain(tensor, op, tensor.inputs.map(contiguousOperand));
          break;
        }
        case "gather":
        case "scatterAdd":
        case "cumsum":
        case "argMax":
          placePlain(tensor, op, tensor.inputs.map(contiguousOperand));
          break;
      }
    }
  }

  const given = new Set<Root>();
  const outputs = program.outputs.map((tensor) => {
    const seen = operand(tensor);
    const found = { root: ownerOf(seen.root), layout: seen.layout };
    const whole = found.layout.offset === 0 && isContiguous(found.layout) && found.root.size === tensor.size;
    const taken = !stepOf.has(found.root) || found.root.storage !== undefined || given.has(found.root);
    if (whole && !taken) {
      given.add(found.root);
      return found.root;
    }
    // An input, a constant, a part of another root, or an output twice: copy.
    const root = newRoot(tensor);
    const value = withCopies(() => lower(tensor, []));
    addLoop(tensor.shape, 0, { kind: "wide", root, value, layout: contiguous(tensor.shape) });
    return root;
  });
  return {
    steps,
    roots,
    inputs,
    outputs,
    outputShapes: program.outputs.map((tensor) => tensor.shape),
    constants,
  };
}

/** How many trailing axes form the inner part, or undefined when outputs disagree. */
export function innerAxesOf(loop: {
  domain: Shape;
  innerAxes: number;
  outputs: readonly LoopOutput[];
}): number | undefined {
  let inner = loop.innerAxes;
  for (const output of loop.outputs) {
    if (output.kind !== "accumulate" || output.rows || output.kept <= 1) continue;
    let count = 0;
    let product = 1;
    while (product < output.kept && count < loop.domain.length)
      product *= loop.domain[loop.domain.length - ++count]!;
    if (product !== output.kept) return undefined;
    if (inner !== 0 && sizeOf(loop.domain.slice(loop.domain.length - inner)) !== output.kept)
      return undefined;
    inner = Math.max(inner, count);
  }
  return inner;
}

/** The root of the same size whose memory this one uses: that of a running sum of products. */
function ownerOf(root: Root): Root {
  let owner = root;
  while (owner.storage && owner.storage.root.size === root.size) owner = owner.storage.root;
  return owner;
}
function livesIn(root: Root, target: Root): boolean {
  for (let at: Root | undefined = root; at; at = at.storage?.root) if (at === target) return true;
  return false;
}

class CannotJoin extends Error {}

/** Contiguous over the outer axes, constant over the inner ones. */
function isRowLayout(layout: Layout, loop: LoopStep): boolean {
  const split = loop.domain.length - loop.innerAxes;
  const outer = { shape: layout.shape.slice(0, split), offset: 0, strides: layout.strides.slice(0, split) };
  return (
    layout.offset === 0 &&
    isContiguous(outer) &&
    layout.strides.every((s, axis) => axis < split || s === 0 || layout.shape[axis] === 1)
  );
}

function readsOf(value: Value, found = new Set<Root>()): Root[] {
  switch (value.kind) {
    case "load":
      found.add(value.root);
      break;
    case "apply":
      for (const operand of value.inputs) readsOf(operand, found);
      break;
    case "random":
      for (const word of value.key) readsOf(word, found);
      break;
    case "local":
    case "number":
    case "index":
      break;
  }
  return [...found];
}

function loadsOf(value: Value): number {
  if (value.kind === "load") return 1;
  const operands = value.kind === "apply" ? value.inputs : value.kind === "random" ? value.key : [];
  return operands.reduce((sum, operand) => sum + loadsOf(operand), 0);
}

/** Which elementwise tensors get memory rather than being recomputed at each use. */
function chooseRoots(
  order: readonly Tensor[],
  isOutput: ReadonlySet<Tensor>,
  accumulates: ReadonlySet<Tensor>,
): Set<Tensor> {
  interface Use {
    readonly user: Tensor;
    /** Seen through a transposition: reading it in place means reading element by element. */
    readonly permuted: boolean;
    readonly stretched: boolean;
  }
  const uses = new Map<Tensor, Use[]>();
  const finalOutput = new Set<Tensor>();
  // Users first: what uses a view uses its source.
  for (let index = order.length - 1; index >= 0; index--) {
    const tensor = order[index]!;
    const own = uses.get(tensor) ?? [];
    for (const operand of new Set(tensor.inputs)) {
      const list = uses.get(operand) ?? [];
      uses.set(operand, list);
      if (isViewKind(tensor.op)) {
        const stretched = tensor.op.kind === "expand";
        const permuted = tensor.op.kind === "permute";
        for (const use of own)
          list.push({
            user: use.user,
            permuted: use.permuted || permuted,
            stretched: use.stretched || stretched,
          });
        if (isOutput.has(tensor) || finalOutput.has(tensor)) finalOutput.add(operand);
      } else list.push({ user: tensor, permuted: false, stretched: false });
    }
  }
  const chosen = new Set<Tensor>();
  const cost = new Map<Tensor, number>();
  const expensive = new Set<Tensor>();
  for (const tensor of order) {
    if (!isElementwise(tensor.op)) {
      // A view costs what its source costs.
      if (isViewKind(tensor.op)) {
        cost.set(tensor, cost.get(tensor.inputs[0]!) ?? 0);
        if (expensive.has(tensor.inputs[0]!)) expensive.add(tensor);
      }
      continue;
    }
    const own = 1 + tensor.inputs.reduce((sum, operand) => sum + (cost.get(operand) ?? 0), 0);
    const isExpensive =
      expensiveKinds.has(tensor.op.kind) || tensor.inputs.some((operand) => expensive.has(operand));
    const users = uses.get(tensor) ?? [];
    const distinct = new Set(users.map((use) => use.user)).size;
    const wanted =
      isOutput.has(tensor) ||
      finalOutput.has(tensor) ||
      accumulates.has(tensor) ||
      own > expressionLimit ||
      users.some(
        (use) =>
          !isElementwise(use.user.op) && use.user.op.kind !== "reduceSum" && use.user.op.kind !== "reduceMax",
      ) ||
      ((isExpensive || slowWhenStretched.has(tensor.op.kind)) && users.some((use) => use.stretched)) ||
      (distinct > 1 && (isExpensive || own > inlineLimit || users.some((use) => use.permuted)));
    if (wanted) chosen.add(tensor);
    else {
      cost.set(tensor, own);
      if (isExpensive) expensive.add(tensor);
    }
  }
  return chosen;
}

const throughReshape = (tensor: Tensor): Tensor =>
  tensor.op.kind === "reshape" ? tensor.inputs[0]! : tensor;

/** Patches seen as a matrix [positions, kernel·channels], or its transpose. */
function patchMatrix(tensor: Tensor): { patches: Tensor; transposed: boolean } | undefined {
  const transposed = tensor.op.kind === "permute" && sameShape(tensor.op.axes, [1, 0]);
  const matrix = transposed ? tensor.inputs[0]! : tensor;
  const patches = throughReshape(matrix);
  if (patches.op.kind !== "patches" || matrix.rank !== 2 || matrix.shape[1] !== patches.shape[3])
    return undefined;
  return { patches, transposed };
}

/** Sums of matrix products, each used once: the second product is added onto the first in place. */
function chooseAccumulations(order: readonly Tensor[], isOutput: ReadonlySet<Tensor>): Set<Tensor> {
  const uses = new Map<Tensor, number>();
  for (const tensor of order)
    for (const source of tensor.inputs) uses.set(source, (uses.get(source) ?? 0) + 1);
  const once = (tensor: Tensor) => uses.get(tensor) === 1 && !isOutput.has(tensor);
  /** The sums, each with its newest product. */
  const newest = new Map<Tensor, Tensor>();
  for (const tensor of order) {
    if (tensor.op.kind !== "add") continue;
    const [sum, next] = tensor.inputs as [Tensor, Tensor];
    const before = sum.op.kind === "dot" ? sum : newest.get(sum);
    if (before && next.op.kind === "dot" && before.id < next.id && once(sum) && once(next))
      newest.set(tensor, next);
  }
  return new Set(newest.keys());
}

/** Patches that only meet matrix products, and products that are only folded back into an image. */
function chooseConvolutions(order: readonly Tensor[], isOutput: ReadonlySet<Tensor>) {
  const users = new Map<Tensor, Tensor[]>();
  for (const tensor of order)
    for (const source of new Set(tensor.inputs)) {
      const list = users.get(source);
      if (list) list.push(tensor);
      else users.set(source, [tensor]);
    }
  const usersOf = (tensor: Tensor): Tensor[] => (isOutput.has(tensor) ? [] : (users.get(tensor) ?? []));
  /** Every use, looking through reshapes and transpositions, with the operand as the user sees it. */
  const finalUses = (tensor: Tensor): { user: Tensor; operand: Tensor }[] | undefined => {
    if (isOutput.has(tensor)) return undefined;
    const found: { user: Tensor; operand: Tensor }[] = [];
    for (const user of usersOf(tensor)) {
      if (user.op.kind !== "reshape" && user.op.kind !== "permute") {
        found.push({ user, operand: tensor });
        continue;
      }
      const deeper = finalUses(user);
      if (!deeper) return undefined;
      found.push(...deeper);
    }
    return found;
  };
  const patchesOnly = new Set<Tensor>();
  const foldedOnly = new Set<Tensor>();
  for (const tensor of order) {
    if (tensor.op.kind === "patches") {
      const uses = finalUses(tensor);
      const fits = uses?.every(({ user, operand }) => {
        if (user.op.kind !== "dot") return false;
        const [left, right] = [patchMatrix(user.inputs[0]!), patchMatrix(user.inputs[1]!)];
        if (user.inputs[1] === operand)
          return left?.transposed === true && left.patches === tensor && right?.transposed === false;
        return left?.patches === tensor;
      });
      if (fits) patchesOnly.add(tensor);
    } else if (tensor.op.kind === "fold") {
      const product = throughReshape(tensor.inputs[0]!);
      if (product.op.kind !== "dot" || product.rank !== 2 || product.shape[1] !== tensor.inputs[0]!.shape[3])
        continue;
      if (patchMatrix(product.inputs[0]!)) continue;
      const uses = finalUses(product);
      if (uses?.length === 1) foldedOnly.add(product);
    }
  }
  return { patchesOnly, foldedOnly };
}

/** How a [..., rows, columns] layout is passed to a matrix product. */
export interface MatrixForm {
  readonly transposed: boolean;
  /** Elements between rows (or columns, when transposed). */
  readonly leading: number;
}
export function matrixForm(layout: Layout): MatrixForm | undefined {
  const rank = layout.shape.length;
  const [rows, columns] = [layout.shape[rank - 2]!, layout.shape[rank - 1]!];
  const [rowStride, columnStride] = [layout.strides[rank - 2]!, layout.strides[rank - 1]!];
  if ((columnStride === 1 || columns === 1) && (rowStride >= columns || rows === 1))
    return { transposed: false, leading: rows === 1 ? Math.max(1, columns) : rowStride };
  if ((rowStride === 1 || rows === 1) && (columnStride >= rows || columns === 1))
    return { transposed: true, leading: columns === 1 ? Math.max(1, rows) : columnStride };
  return undefined;
}

export type { Window };
