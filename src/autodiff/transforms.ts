/**
 * Functions of tensors → functions of tensors. Arguments may be trees (parameters by name). They are wrapped in
 * identity nodes, and derivatives are with respect to those: what a function captures from outside is a constant of
 * this derivative, yet stays differentiable by an outer one (no perturbation confusion).
 */
import { isFloat } from "../tensor/dtype.js";
import { isTensor } from "../tensor/program.js";
import { formatShape, ShapeError } from "../tensor/shape.js";
import { full, iota, Tensor } from "../tensor/tensor.js";
import { leavesOf, type Tree, unflattenTree } from "../tensor/tree.js";
import { applyLinear, linearPart, orZeros, pullback, pushforward, transpose } from "./derivative.js";
import { vmap } from "./vmap.js";

const leaves = (tree: Tree<Tensor>): Tensor[] => leavesOf<Tensor>(tree, isTensor).map((leaf) => leaf.value);
const rebuild = <T extends Tree<Tensor>>(like: T, values: readonly Tensor[]): T =>
  unflattenTree<Tensor, Tensor>(like as Tree<Tensor>, isTensor, values) as T;

/** The tree's leaves as variables of a derivative. */
function variables(operation: string, tree: Tree<Tensor>): Tensor[] {
  return leavesOf<Tensor>(tree, isTensor).map(({ name, value }) => {
    if (!isFloat(value.dtype))
      throw new ShapeError(
        `${operation}: "${name}" is ${value.dtype}${formatShape(value.shape)}; only f32 and f64 have derivatives, pass it as a further argument`,
      );
    return Tensor.apply({ kind: "identity" }, value);
  });
}

/** Leaves of a tree of tangents or cotangents, one for each leaf of `like`. */
function matching(operation: string, given: Tree<Tensor>, like: Tree<Tensor>): Tensor[] {
  const [found, wanted] = [leavesOf<Tensor>(given, isTensor), leavesOf<Tensor>(like, isTensor)];
  const show = ({ name, value }: { name: string; value: Tensor }) =>
    `${name && `"${name}" `}${value.dtype}${formatShape(value.shape)}`;
  const [a, b] = [found.map(show), wanted.map(show)];
  const count = Math.max(a.length, b.length);
  for (let k = 0; k < count; k++)
    if (a[k] !== b[k])
      throw new ShapeError(`${operation}: got ${a[k] ?? "nothing"} where ${b[k] ?? "nothing"} belongs`);
  return found.map((leaf) => leaf.value);
}

/**
 * f and its gradient with respect to the first argument.
 *
 *     const [loss, gradients] = valueAndGrad((p, x) => x.matmul(p.w).square().mean())(parameters, x);
 *
 * @throws ShapeError when f does not return a scalar, or the first argument holds integers.
 */
export function valueAndGrad<P extends Tree<Tensor>, Rest extends readonly unknown[]>(
  f: (parameters: P, ...rest: Rest) => Tensor,
): (parameters: P, ...rest: Rest) => [Tensor, P] {
  return (parameters, ...rest) => {
    const wrt = variables("grad", parameters);
    const value = f(rebuild(parameters, wrt), ...rest);
    if (value.size !== 1 || !isFloat(value.dtype))
      throw new ShapeError(
        `grad: the function must return a scalar, not ${value.dtype}${formatShape(value.shape)}`,
      );
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

/**
 * The gradient of f with respect to the first argument; see `valueAndGrad`.
 *
 *     const slope = grad((x: Tensor) => x.square().sum())(x);   // 2x, with the shape and dtype of x
 *
 * @throws ShapeError when f does not return a scalar, or the first argument holds integers.
 */
export function grad<P extends Tree<Tensor>, Rest extends readonly unknown[]>(
  f: (parameters: P, ...rest: Rest) => Tensor,
): (parameters: P, ...rest: Rest) => P {
  return (parameters, ...rest) => valueAndGrad(f)(parameters, ...rest)[1];
}

/**
 * f at the primals and its derivative along the tangents (one for each argument): [f(x), J·t].
 *
 *     const [y, dy] = jvp((x: Tensor, w: Tensor) => x.matmul(w), [x, w], [dx, dw]);
 *
 * @throws ShapeError when a tangent does not have the shape and dtype of its primal.
 */
export function jvp<A extends readonly Tree<Tensor>[], R extends Tree<Tensor>>(
  f: (...args: A) => R,
  primals: readonly [...A],
  tangents: readonly [...A],
): [R, R] {
  const wrt = variables("jvp", primals);
  const along = matching("jvp", tangents, primals);
  const value = f(...rebuild(primals, wrt));
  const outputs = leaves(value);
  const derivatives = pushforward(outputs, wrt, along);
  return [
    value,
    rebuild(
      value,
      derivatives.map((d, k) => orZeros(d, outputs[k]!)),
    ),
  ];
}

/**
 * f at the primals and its pullback, which gives one cotangent for each argument: [f(x), c ↦ Jᵀ·c].
 *
 *     const [y, pull] = vjp((x: Tensor, w: Tensor) => x.matmul(w), x, w);
 *     const [xBar, wBar] = pull(yBar);
 */
export function vjp<A extends readonly Tree<Tensor>[], R extends Tree<Tensor>>(
  f: (...args: A) => R,
  ...primals: A
): [R, (cotangent: R) => A] {
  const wrt = variables("vjp", primals);
  const value = f(...rebuild(primals, wrt));
  const linear = linearPart(leaves(value), wrt);
  return [
    value,
    (cotangent) =>
      rebuild(
        primals,
        transpose(linear, matching("vjp", cotangent, value)).map((g, k) => orZeros(g, wrt[k]!)),
      ),
  ];
}

/**
 * f at the primals and its linear part: [f(x), t ↦ J·t]. What does not depend on t is traced once and shared by all
 * calls; `splitLinear` separates it in a program.
 *
 *     const [y, along] = linearize((x: Tensor) => x.matmul(w).tanh(), x);
 *     const [first, second] = [along(u), along(v)];   // J·u and J·v of one forward pass
 *
 * @throws ShapeError when a tangent does not have the shape and dtype of its primal.
 */
export function linearize<A extends readonly Tree<Tensor>[], R extends Tree<Tensor>>(
  f: (...args: A) => R,
  ...primals: A
): [R, (...tangents: A) => R] {
  const wrt = variables("linearize", primals);
  const value = f(...rebuild(primals, wrt));
  const outputs = leaves(value);
  const linear = linearPart(outputs, wrt);
  return [
    value,
    (...tangents) =>
      rebuild(
        value,
        applyLinear(linear, matching("linearize", tangents, primals)).map((d, k) => orZeros(d, outputs[k]!)),
      ),
  ];
}

/**
 * Hessian–vector products of a scalar function with respect to the first argument, forward over reverse: H·t.
 *
 *     const Hv = hessianVectorProduct(loss)(parameters, v, x, y);
 */
export function hessianVectorProduct<P extends Tree<Tensor>, Rest extends readonly unknown[]>(
  f: (parameters: P, ...rest: Rest) => Tensor,
): (parameters: P, tangent: P, ...rest: Rest) => P {
  return (parameters, tangent, ...rest) => jvp((p: P) => grad(f)(p, ...rest), [parameters], [tangent])[1];
}

/** The identity matrix whose rows are the unit vectors of `like`: [size, ...shape]. */
function basisOf(like: Tensor): Tensor {
  const square = [like.size, like.size];
  return iota(square, 0)
    .eq(iota(square, 1))
    .cast(like.dtype)
    .reshape([like.size, ...like.shape]);
}

/**
 * Dense Jacobian with respect to the first argument, a tensor [...a], of a function → [...b]: shape [...b, ...a].
 * By rows (reverse) or columns (forward), whichever are fewer. For small sizes.
 *
 *     jacobian((x: Tensor) => w.matmul(x))(x);   // w itself: [3] → [2] has the Jacobian [2, 3]
 */
export function jacobian<Rest extends readonly unknown[]>(
  f: (x: Tensor, ...rest: Rest) => Tensor,
): (x: Tensor, ...rest: Rest) => Tensor {
  return (x, ...rest) => {
    const g = (variable: Tensor) => f(variable, ...rest);
    const [y, pull] = vjp(g, x);
    if (y.size < x.size) {
      const rows = vmap((c: Tensor) => pull(c)[0])(basisOf(y)); // [size of y, ...a]
      return rows.reshape([...y.shape, ...x.shape]);
    }
    const columns = vmap(linearize(g, x)[1])(basisOf(x)); // [size of x, ...b]
    return columns.permute([...y.shape.map((_, axis) => axis + 1), 0]).reshape([...y.shape, ...x.shape]);
  };
}

/**
 * Dense Hessian of a scalar function with respect to its first argument [...a]: shape [...a, ...a]. For small sizes.
 *
 *     hessian((x: Tensor) => x.matmul(a).inner(x).mul(0.5))(x);   // ½(a + aᵀ)
 */
export const hessian = <Rest extends readonly unknown[]>(
  f: (x: Tensor, ...rest: Rest) => Tensor,
): ((x: Tensor, ...rest: Rest) => Tensor) => jacobian(grad(f));
