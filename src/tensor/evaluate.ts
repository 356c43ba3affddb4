import type { NDArray } from "./array.js";
import { rulesOf } from "./primitives/index.js";
import { type Program, reachable } from "./program.js";
import { formatShape, ShapeError, sameShape } from "./shape.js";
import type { Tensor } from "./tensor.js";

/**
 * Runs a program by the definition of each primitive: slow and simple, the reference for compiled code.
 *
 *     const [y] = evaluate(trace((x) => x!.tanh().sum(), x), [x]);
 *
 * @throws ShapeError when the values do not fit the program's inputs.
 */
export function evaluate(program: Program, inputs: readonly NDArray[]): NDArray[] {
  if (inputs.length !== program.inputs.length)
    throw new ShapeError(`evaluate: ${inputs.length} values for ${program.inputs.length} inputs`);
  const values = new Map<Tensor, NDArray>();
  program.inputs.forEach((tensor, index) => {
    const value = inputs[index]!;
    if (value.dtype !== tensor.dtype || !sameShape(value.shape, tensor.shape))
      throw new ShapeError(
        `evaluate: input ${index} is ${tensor.dtype}${formatShape(tensor.shape)}, its value ${value.dtype}${formatShape(value.shape)}`,
      );
    values.set(tensor, value);
  });
  for (const tensor of reachable(program.outputs, new Set(program.inputs))) {
    if (values.has(tensor)) continue;
    const operands = tensor.inputs.map((operand) => values.get(operand)!);
    values.set(tensor, rulesOf(tensor.op).evaluate(tensor.op, operands, tensor));
  }
  return program.outputs.map((output) => values.get(output)!);
}
