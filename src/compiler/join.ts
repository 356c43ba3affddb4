/**
 * The loops of a schedule: a new one for a root, or one that is there and walks the same points: the loop that makes the
 * root's newest input, or one that reads the same arrays.
 */
import { type Shape, sameShape, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { isContiguous } from "./layout.js";
import { CannotJoin, lower, NeedsCopy, type Placement, sequence, type Through } from "./lower.js";
import {
  innerAxesOf,
  type LoopOutput,
  type LoopStep,
  loadsOf,
  type Root,
  readsOf,
  type Value,
} from "./step.js";

/** Bound on the loads and stores of one loop; engines allow a function 1000 parameters. */
const loopLimit = 500;

export function createLoops(placed: Placement) {
  const { steps, rootOf, stepOf } = placed;
  const loopsReading = new Map<Root, LoopStep[]>();
  const accessesOf = new Map<LoopStep, number>();

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
    const newest = reads.reduce((max, root) => Math.max(max, sequence(placed, root)), -1);
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
        const views: Through[] = rows
          ? [
              { op: { kind: "reshape", shape: stretched }, source },
              { op: { kind: "expand", shape: loop.domain }, source },
            ]
          : [{ op: { kind: "reshape", shape: loop.domain }, source }];
        try {
          const value = lower(
            placed,
            source,
            sameShape(source.shape, loop.domain) && !rows ? [] : views,
            loop,
          );
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
  return { addLoop, join };
}
