/**
 * Derivatives on the graph. Forward mode applies each primitive's jvp; reverse mode is forward mode along symbolic
 * tangents, transposed: the tangent graph is linear in them, so that walking it backwards gives Jᵀc.
 * (Radul, Paszke, Frostig, Johnson, Maclaurin 2022, "You Only Linearize Once".)
 */
import { rulesOf } from "../tensor/primitives/index.js";
import type { Maybe } from "../tensor/primitives/rules.js";
import { reachable } from "../tensor/program.js";
import { full, input, type Tensor } from "../tensor/tensor.js";

/**
 * Jacobian–vector product: derivatives of the outputs along `tangents` of `wrt` (shapes equal, position by position).
 * `wrt` may be any tensors of the graph; what lies behind them is constant. undefined stands for zero.
 */
export function pushforward(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  tangents: readonly Maybe[],
): Maybe[] {
  const tangent = new Map<Tensor, Tensor>();
  wrt.forEach((tensor, index) => {
    const t = tangents[index];
    if (t) tangent.set(tensor, t);
  });
  const seeds = new Set(wrt);
  for (const tensor of reachable(outputs, seeds)) {
    if (seeds.has(tensor) || !tensor.inputs.some((operand) => tangent.has(operand))) continue;
    const result = rulesOf(tensor.op).jvp(
      tensor.op,
      tensor.inputs,
      tensor.inputs.map((operand) => tangent.get(operand)),
      tensor,
    );
    if (result) tangent.set(tensor, result);
  }
  return outputs.map((output) => tangent.get(output));
}

/**
 * Vector–Jacobian product: Σ over outputs of (∂output/∂w)ᵀ·cotangent, for each w of `wrt`.
 * undefined stands for zero: of an output's cotangent, and of a result that the outputs do not depend on.
 */
export function pullback(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  cotangents: readonly Maybe[],
): Maybe[] {
  const placeholders = wrt.map((tensor, index) => input(`tangent ${index}`, tensor));
  const linear = pushforward(outputs, wrt, placeholders);
  return transpose(linear, placeholders, cotangents);
}

/** The transpose of the linear map placeholders → outputs, applied to cotangents. */
export function transpose(
  outputs: readonly Maybe[],
  placeholders: readonly Tensor[],
  cotangents: readonly Maybe[],
): Maybe[] {
  const active = outputs.flatMap((output, index) => (output && cotangents[index] ? [output] : []));
  const order = reachable(active);
  const dependent = new Set<Tensor>(placeholders);
  for (const tensor of order)
    if (tensor.inputs.some((operand) => dependent.has(operand))) dependent.add(tensor);

  const cotangent = new Map<Tensor, Tensor>();
  const add = (tensor: Tensor, value: Tensor) => {
    const sum = cotangent.get(tensor);
    cotangent.set(tensor, sum ? sum.add(value) : value);
  };
  outputs.forEach((output, index) => {
    const c = cotangents[index];
    if (output && c && dependent.has(output)) add(output, c);
  });
  for (let index = order.length - 1; index >= 0; index--) {
    const tensor = order[index]!;
    const c = cotangent.get(tensor);
    if (!c || !dependent.has(tensor) || tensor.op.kind === "input") continue;
    const rules = rulesOf(tensor.op);
    if (!rules.transpose) throw new Error(`autodiff: ${tensor.op.kind} is not linear`);
    const flags = tensor.inputs.map((operand) => dependent.has(operand));
    rules.transpose(tensor.op, c, tensor.inputs, flags).forEach((value, k) => {
      if (value && flags[k]) add(tensor.inputs[k]!, value);
    });
  }
  return placeholders.map((placeholder) => cotangent.get(placeholder));
}

/** The derivative, or zeros where there is none. */
export const orZeros = (derivative: Maybe, like: Tensor): Tensor => derivative ?? full(like, 0);
