/**
 * What a program costs, counted from the very steps that run.
 *
 * FLOPs: 2·m·n·k for a matrix product; one for each elementwise operation at each point where it is evaluated
 * (recomputation included), one for each element that a reduction consumes. Transcendentals (exp, log, tanh, …) are
 * counted apart, as their price depends on the machine. Bytes: what each step reads and writes, each array once
 * and no more of it than the step has points.
 * Memory is that of the plan; the scratch of kernels (a few rows, or a block of image patches) is not counted.
 */
import { allocate, bytesOf } from "../tensor/dtype.js";
import type { Program } from "../tensor/program.js";
import { sizeOf } from "../tensor/shape.js";
import type { Node } from "./expression.js";
import { planLoop, stagesOf } from "./loop-plan.js";
import { type PlanMemory, plan } from "./plan.js";
import { type Schedule, schedule } from "./schedule.js";
import { simplify } from "./simplify.js";
import type { Root, Step } from "./step.js";
import { transcendental } from "./step.js";
import { planWindow } from "./window.js";

export interface Cost {
  /** Floating-point operations of matrix products. */
  readonly matmulFlops: number;
  /** Floating-point operations of everything else, without transcendentals. */
  readonly elementwiseFlops: number;
  readonly transcendentals: number;
  /** Bytes read and written by all steps. */
  readonly bytes: number;
  /** Of these, by steps that are no matrix products. */
  readonly elementwiseBytes: number;
  /** Bytes of inputs, outputs and constants, and of intermediate results at their peak. */
  readonly boundBytes: number;
  readonly arenaBytes: number;
  readonly steps: number;
}

const free = new Set(["cast", "not", "and", "or", "xor", "mix", "uniform"]);

/** Addresses without memory: what is counted may be larger than any machine. */
function countedMemory(): PlanMemory {
  let end = 0;
  const next = (bytes: number) => {
    const start = end;
    end += bytes;
    return start;
  };
  return {
    allocate: next,
    release: () => {},
    buffer: (dtype, shape) => ({
      dtype,
      shape,
      size: sizeOf(shape),
      address: next(Math.max(1, sizeOf(shape) * bytesOf(dtype))),
      data: allocate(dtype, 0),
      set: () => {},
      copy: () => allocate(dtype, 0),
      release: () => {},
    }),
  };
}

/**
 * Counts a program without compiling or running it, and without its memory.
 *
 *     cost(trace((x, w) => x!.matmul(w!), x, w)).matmulFlops // 2·m·n·k
 */
export function cost(program: Program): Cost {
  const scheduled = schedule(simplify(program));
  const planned = plan(scheduled, countedMemory());
  const total = { matmulFlops: 0, elementwiseFlops: 0, transcendentals: 0, bytes: 0, elementwiseBytes: 0 };
  for (const step of scheduled.steps) {
    count(step, total);
    const bytes = [...step.reads].reduce((sum, root) => sum + readBytes(step, root), 0) + writtenBytes(step);
    total.bytes += bytes;
    if (step.kind !== "dot" && step.kind !== "conv") total.elementwiseBytes += bytes;
  }
  const bound = boundRoots(scheduled).reduce((sum, root) => sum + rootBytes(root), 0);
  return { ...total, boundBytes: bound, arenaBytes: planned.arenaBytes, steps: scheduled.steps.length };
}

/** FLOPs of matrix products and of everything else. */
export const flopsOf = ({ matmulFlops, elementwiseFlops, transcendentals }: Cost): number =>
  matmulFlops + elementwiseFlops + transcendentals;

const rootBytes = (root: Root) => root.size * bytesOf(root.dtype);
const boundRoots = (scheduled: Schedule) => [
  ...scheduled.inputs,
  ...scheduled.outputs,
  ...scheduled.constants.keys(),
];

/** A loop over a part of an array reads no more of it than it has points. */
function readBytes(step: Step, root: Root): number {
  if (step.kind !== "loop" && step.kind !== "window") return rootBytes(root);
  return Math.min(root.size, sizeOf(step.domain)) * bytesOf(root.dtype);
}

function writtenBytes(step: Step): number {
  if (step.kind !== "loop") return rootBytes(step.root);
  return step.outputs.reduce((sum, output) => {
    if (!output.root.storage) return sum;
    return (
      sum +
      (output.kind === "wide"
        ? sizeOf(output.layout.shape) * bytesOf(output.root.dtype)
        : rootBytes(output.root))
    );
  }, 0);
}

function count(
  step: Step,
  total: { matmulFlops: number; elementwiseFlops: number; transcendentals: number },
): void {
  const evaluated = (node: Node, times: number): void => {
    if (node.body.kind !== "apply") return;
    const { op } = node.body;
    if (transcendental.has(op.kind)) total.transcendentals += times;
    else if (!free.has(op.kind) && node.dtype !== "i32") total.elementwiseFlops += times;
  };
  switch (step.kind) {
    case "dot":
      total.matmulFlops += 2 * step.root.size * step.a.layout.shape.at(-1)!;
      return;
    case "conv": {
      const width =
        step.direction === "forward" || step.direction === "gram"
          ? step.root.shape.at(-1)!
          : step.operands[1]!.layout.shape[step.direction === "weights" ? 1 : 0]!;
      total.matmulFlops += 2 * sizeOf(step.patches) * width;
      if (step.direction === "input") total.elementwiseFlops += sizeOf(step.patches);
      return;
    }
    case "window": {
      const points = sizeOf(step.domain);
      for (const node of planWindow(step).expressions.nodes) evaluated(node, points);
      total.elementwiseFlops += points;
      return;
    }
    case "loop": {
      const plan = planLoop(step);
      const [rows, points] = [sizeOf(plan.outer), sizeOf(step.domain)];
      const stages = stagesOf(plan);
      for (const node of plan.expressions.nodes)
        if (node.level < 2) evaluated(node, node.level === 1 ? rows : 1);
      for (let stage = 0; stage < stages.count; stage++)
        for (const node of stages.valuesOf(stage))
          if (!(stages.spilled.has(node) && node.stage < stage)) evaluated(node, points);
      total.elementwiseFlops += plan.reduces.length * points;
      for (const a of plan.accumulates) total.elementwiseFlops += a.rows ? rows : points;
      return;
    }
    case "plain":
      if (step.op.kind === "fold" || step.op.kind === "scatterAdd" || step.op.kind === "cumsum")
        total.elementwiseFlops += sizeOf(step.operands.at(-1)!.layout.shape);
  }
}
