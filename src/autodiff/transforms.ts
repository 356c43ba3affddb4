/**
 * Functions of tensors → functions of tensors. The first argument may be a tree (parameters by name); derivatives
 * are with respect to it. Arguments are wrapped in identity nodes first: what a function captures from outside is a
 * constant of this derivative, yet stays differentiable by an outer one (no perturbation confusion).
 */
import { isTensor } from "../tensor/program.js";
import { ShapeError } from "../tensor/shape.js";
import { full, iota, Tensor } from "../tensor/tensor.js";
import { leavesOf, type Tree, unflattenTree } from "../tensor/tree.js";
import { orZeros, pullback, pushforward } from "./derivative.js";
import { vmap } from "./vmap.js";

const leaves = (tree: Tree<Tensor>): Tensor[] => leavesOf<Tensor>(tree, isTensor).map((leaf) => leaf.value);
const rebuild = <T extends Tree<Tensor>>(like: T, values: readonly Tensor[]): T =>
  unflattenTree<Tensor, Tensor>(like as Tree<Tensor>, isTensor, values) as T;
const fresh = (tensor: Tensor): Tensor => Tensor.apply({ kind: "identity" }, tensor);

function scalar(name: string, value: Tensor): Tensor {
  if (value.size !== 1)
    throw new ShapeError(`${name}: the function must return a scalar, not shape [${value.shape.join(", ")}]`);
  return value;
}

/**
 * f and its gradient with respect to the first argument.
 *
 *     const [loss, gradients] = valueAndGrad((p, x) => x.matmul(p.w).square().mean())(parameters, x);
 *
 * @throws ShapeError when f does not return a scalar.
 */
export function valueAndGrad<P extends Tree<Tensor>, Rest extends readonly unknown[]>(
  f: (parameters: P, ...rest: Rest) => Tensor,
): (parameters: P, ...rest: Rest) => [Tensor, P] {
  return (parameters, ...rest) => {
    const wrt = leaves(parameters).map(fresh);
    const value = scalar("grad", f(rebuild(parameters, wrt), ...rest));
    const gradients = pullback([value], wrt, [full(value, 1)]);
    return [
      value,
      rebuild(
        parameters,
        gradients.map((g, k) => orZeros(g, wrt[k]!)),
      ),
    ];
  };
}

/** The gradient of f with respect to the first argument; see `valueAndGrad`. */
export function grad<P extends Tree<Tensor>, Rest extends readonly unknown[]>(
  f: (parameters: P, ...rest: Rest) => Tensor,
): (parameters: P, ...rest: Rest) => P {
  return (parameters, ...rest) => valueAndGrad(f)(parameters, ...rest)[1];
}

/**
 * f at the primal and its derivative along the tangent: [f(x), J·t].
 *
 *     const [y, dy] = jvp((x) => x.sin(), x, t);
 */
export function jvp<P extends Tree<Tensor>, Q extends Tree<Tensor>>(
  f: (x: P) => Q,
  primal: P,
  tangent: P,
): [Q, Q] {
  const wrt = leaves(primal).map(fresh);
  const value = f(rebuild(primal, wrt));
  const outputs = leaves(value);
  const derivatives = pushforward(outputs, wrt, leaves(tangent));
  return [
    value,
    rebuild(
      value,
      derivatives.map((d, k) => orZeros(d, outputs[k]!)),
    ),
  ];
}

/** f at the primal and its pullback: [f(x), c ↦ Jᵀ·c]. */
export function vjp<P extends Tree<Tensor>, Q extends Tree<Tensor>>(
  f: (x: P) => Q,
  primal: P,
): [Q, (cotangent: Q) => P] {
  const wrt = leaves(primal).map(fresh);
  const value = f(rebuild(primal, wrt));
  const outputs = leaves(value);
  return [
    value,
    (cotangent) =>
      rebuild(
        primal,
        pullback(outputs, wrt, leaves(cotangent)).map((g, k) => orZeros(g, wrt[k]!)),
      ),
  ];
}

/** f at the primal and its linear part: [f(x), t ↦ J·t]; what does not depend on t is shared by all calls. */
export function linearize<P extends Tree<Tensor>, Q extends Tree<Tensor>>(
  f: (x: P) => Q,
  primal: P,
): [Q, (tangent: P) => Q] {
  const wrt = leaves(primal).map(fresh);
  const value = f(rebuild(primal, wrt));
  const outputs = leaves(value);
  return [
    value,
    (tangent) =>
      rebuild(
        value,
        pushforward(outputs, wrt, leaves(tangent)).map((d, k) => orZeros(d, outputs[k]!)),
      ),
  ];
}

/** Hessian–vector product of a scalar function, forward over reverse: H·t at the primal. */
export function hessianVectorProduct<P extends Tree<Tensor>>(f: (x: P) => Tensor, primal: P, tangent: P): P {
  return jvp(grad(f), primal, tangent)[1];
}

/** Dense Jacobian of a function of one tensor [...a] → [...b]: shape [...b, ...a]. For small inputs. */
export function jacobian(f: (x: Tensor) => Tensor): (x: Tensor) => Tensor {
  return (x) => {
    const [y, push] = linearize(f, x);
    const basis = iota([x.size, x.size], 0)
      .eq(iota([x.size, x.size], 1))
      .cast(x.dtype)
      .reshape([x.size, ...x.shape]);
    const columns = vmap(push)(basis); // [size of x, ...b]
    const axes = [...y.shape.map((_, axis) => axis + 1), 0];
    return columns.permute(axes).reshape([...y.shape, ...x.shape]);
  };
}

/** Dense Hessian of a scalar function of one tensor [...a]: shape [...a, ...a]. For small inputs. */
export const hessian = (f: (x: Tensor) => Tensor): ((x: Tensor) => Tensor) => jacobian(grad(f));
