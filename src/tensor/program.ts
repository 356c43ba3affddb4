import type { Spec } from "./array.js";
import { ShapeError } from "./shape.js";
import { input, Tensor } from "./tensor.js";
import { leavesOf, type Tree } from "./tree.js";

/** A traced pure function: outputs are tensors that depend on inputs (of kind "input") and constants only. */
export interface Program {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

export const isTensor = (value: unknown): value is Tensor => value instanceof Tensor;

/**
 * Calls `f` once with symbolic inputs and returns its program. The leaves of the result (a tree) are its outputs.
 *
 *     const program = trace((x, w) => x!.matmul(w!).tanh(), { shape: [8, 3], dtype: "f32" }, { shape: [3, 2], dtype: "f32" });
 */
export function trace(f: (...inputs: Tensor[]) => Tree<Tensor>, ...specs: readonly Spec[]): Program {
  const inputs = specs.map((spec, index) => input(`input ${index}`, spec));
  return { inputs, outputs: leavesOf<Tensor>(f(...inputs), isTensor).map((leaf) => leaf.value) };
}

/** Every tensor that the outputs depend on, inputs before users. `stop` tensors are included but not entered. */
export function reachable(outputs: readonly Tensor[], stop?: ReadonlySet<Tensor>): Tensor[] {
  const seen = new Set<Tensor>();
  const pending = [...outputs];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    if (!stop?.has(tensor))
      for (const operand of tensor.inputs) if (!seen.has(operand)) pending.push(operand);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** @throws ShapeError when the program uses an input of another trace. */
export function checkClosed(program: Program): void {
  const own = new Set(program.inputs);
  for (const tensor of reachable(program.outputs))
    if (tensor.op.kind === "input" && !own.has(tensor))
      throw new ShapeError(
        `program: uses "${tensor.op.name}", an input of another traced function; pass it as an argument`,
      );
}
