import type { NDArray } from "./array.js";
import { rulesOf } from "./primitives/index.js";
import { type Program, reachable } from "./program.js";
import type { Tensor } from "./tensor.js";

/**
 * Runs a program by the definition of each primitive: slow and simple, the reference for compiled code.
 *
 *     const [y] = evaluate(trace((x) => x!.tanh().sum(), x), [x]);
 */
export function evaluate(program: Program, inputs: readonly NDArray[]): NDArray[] {
  const values = new Map<Tensor, NDArray>();
  program.inputs.forEach((tensor, index) => {
    values.set(tensor, inputs[index]!);
  });
  for (const tensor of reachable(program.outputs)) {
    if (values.has(tensor)) continue;
    const operands = tensor.inputs.map((operand) => values.get(operand)!);
    values.set(tensor, rulesOf(tensor.op).evaluate(tensor.op, operands, tensor));
  }
  return program.outputs.map((output) => values.get(output)!);
}
