/**
 * What a program costs, counted from the very steps that run.
 *
 * FLOPs: 2·m·n·k for a matrix product; one for each elementwise operation at each point where it is evaluated
 * (recomputation included), one for each element that a reduction consumes. Transcendentals (exp, log, tanh, …) are
 * counted apart, as their price depends on the machine. Bytes: what each step reads and writes, each array once.
 */
import { createMemory } from "../runtime/memory.js";
import { bytesOf } from "../tensor/dtype.js";
import type { Program } from "../tensor/program.js";
import { sizeOf } from "../tensor/shape.js";
import { plan } from "./plan.js";
import { type Root, type Schedule, type Step, schedule, type Value } from "./schedule.js";
import { simplify } from "./simplify.js";

export interface Cost {
  /** Floating-point operations of matrix products. */
  readonly matmulFlops: number;
  /** Floating-point operations of everything else, without transcendentals. */
  readonly elementwiseFlops: number;
  readonly transcendentals: number;
  /** Bytes read and written by all steps. */
  readonly bytes: number;
  /** Bytes of inputs, outputs and constants, and of intermediate results at their peak. */
  readonly boundBytes: number;
  readonly arenaBytes: number;
  readonly steps: number;
}

const transcendental = new Set([
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
]);
const free = new Set(["cast", "not", "and", "or"]);

/**
 * Counts a program without compiling or running it.
 *
 *     cost(trace((x, w) => x!.matmul(w!), x, w)).matmulFlops // 2·m·n·k
 */
export function cost(program: Program): Cost {
  const scheduled = schedule(simplify(program));
  const memory = createMemory(false);
  const planned = plan(scheduled, memory);
  const total = { matmulFlops: 0, elementwiseFlops: 0, transcendentals: 0, bytes: 0 };
  for (const step of scheduled.steps) {
    count(step, total);
    total.bytes += [...step.reads].reduce((sum, root) => sum + rootBytes(root), 0) + writtenBytes(step);
  }
  const bound = boundRoots(scheduled).reduce((sum, root) => sum + rootBytes(root), 0);
  return { ...total, boundBytes: bound, arenaBytes: planned.arenaBytes, steps: scheduled.steps.length };
}

const rootBytes = (root: Root) => root.size * bytesOf(root.dtype);
const boundRoots = (scheduled: Schedule) => [
  ...scheduled.inputs,
  ...scheduled.outputs,
  ...scheduled.constants.keys(),
];

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
  /** `points`: how often the value is evaluated. Values stretched from fewer points are hoisted out of loops. */
  const value = (v: Value, points: number): void => {
    if (v.kind !== "apply") return;
    if (transcendental.has(v.op.kind)) total.transcendentals += points;
    else if (!free.has(v.op.kind) && v.dtype !== "i32") total.elementwiseFlops += points;
    for (const operand of v.inputs) value(operand, points);
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
    case "window":
      value(step.value, sizeOf(step.domain));
      total.elementwiseFlops += sizeOf(step.domain);
      return;
    case "loop": {
      const points = sizeOf(step.domain);
      const rows = points / sizeOf(step.domain.slice(step.domain.length - step.innerAxes));
      for (const output of step.outputs) {
        const wide = output.kind === "wide" ? sizeOf(output.layout.shape) : points;
        const evaluated =
          output.kind === "row" || (output.kind === "accumulate" && output.rows) ? rows : wide;
        value(output.value, evaluated);
        if (output.kind === "rowReduce" || output.kind === "accumulate") total.elementwiseFlops += evaluated;
      }
      return;
    }
    case "plain":
      if (step.op.kind === "fold" || step.op.kind === "scatterAdd" || step.op.kind === "cumsum")
        total.elementwiseFlops += step.operands.at(-1)!.layout.shape.reduce((a, b) => a * b, 1);
  }
}
