/**
 * A program y = F(a, t) split into what does not depend on t and what does: r = K(a), y = D(r, t). For a linear map
 * that is applied many times (t ↦ J·t in conjugate gradients) K runs once: the forward pass, its derivatives' factors.
 */
import type { Op } from "../tensor/op.js";
import type { Program } from "../tensor/program.js";
import { input, Tensor } from "../tensor/tensor.js";
import { between } from "./derivative.js";

export interface Split {
  /** From the other inputs (in their order) to the residuals r; these may be inputs themselves. */
  readonly known: Program;
  /** From the residuals, then the given inputs, to all outputs of the program. */
  readonly dependent: Program;
}

/**
 * Made again from their input rather than stored: views, sources, and patches of images, which are many times the
 * image and which a convolution makes a few images at a time anyway.
 */
const cheap: ReadonlySet<Op["kind"]> = new Set([
  "constant",
  "fill",
  "iota",
  "reshape",
  "permute",
  "expand",
  "identity",
  "stopGradient",
  "patches",
]);

/**
 * Splits a program at the tensors that depend on `tangentInputs`, which must be among its inputs.
 *
 *     const { known, dependent } = splitLinear(program, [t]);
 *     // evaluate(program, [a, t]) = evaluate(dependent, [...evaluate(known, [a]), t])
 */
export function splitLinear(program: Program, tangentInputs: readonly Tensor[]): Split {
  const given = new Set(tangentInputs);
  const order = between(given, program.outputs);
  const dependent = new Set([...given, ...order]);

  // What the dependent part reads of the known one, found from its users back through cheap operations.
  const residuals = new Set<Tensor>();
  const remade = new Set<Tensor>();
  const pending = [...program.outputs, ...order.flatMap((tensor) => tensor.inputs)];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (dependent.has(tensor) || remade.has(tensor)) continue;
    if (!cheap.has(tensor.op.kind)) residuals.add(tensor);
    else {
      remade.add(tensor);
      pending.push(...tensor.inputs);
    }
  }

  const outputs = [...residuals].sort((a, b) => a.id - b.id);
  const copy = new Map<Tensor, Tensor>();
  for (const tensor of tangentInputs) copy.set(tensor, tensor);
  outputs.forEach((tensor, index) => {
    copy.set(tensor, input(`residual ${index}`, tensor));
  });
  for (const tensor of [...remade, ...order].sort((a, b) => a.id - b.id))
    copy.set(tensor, Tensor.source(tensor.op, tensor, ...tensor.inputs.map((operand) => copy.get(operand)!)));
  const at = (tensor: Tensor) => copy.get(tensor)!;
  return {
    known: { inputs: program.inputs.filter((tensor) => !given.has(tensor)), outputs },
    dependent: { inputs: [...outputs.map(at), ...tangentInputs], outputs: program.outputs.map(at) },
  };
}
