/**
 * What is decided of a graph before anything is scheduled: which tensors get memory rather than being computed at each use,
 * which sums of two products accumulate in place, and which products with patches are convolutions.
 */
import { isBinary, isCompare, isUnary, type Op } from "../tensor/op.js";
import { sameShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { isViewKind } from "./layout.js";
import { transcendental } from "./step.js";

/** Instructions of which one is worth a memory access, or several. */
const expensiveKinds = new Set([...transcendental, "random"]);
/** Not worth a memory access on their own, but worth one that many points share. */
const slowWhenStretched = new Set(["div", "sqrt"]);
const inlineLimit = 3;
const expressionLimit = 48;
export const isElementwise = (op: Op): boolean =>
  isUnary(op) ||
  isBinary(op) ||
  isCompare(op) ||
  op.kind === "select" ||
  op.kind === "cast" ||
  op.kind === "random";

/** Which elementwise tensors get memory rather than being recomputed at each use. */
export function chooseRoots(
  order: readonly Tensor[],
  isOutput: ReadonlySet<Tensor>,
  accumulates: ReadonlySet<Tensor>,
): Set<Tensor> {
  interface Use {
    readonly user: Tensor;
    /** Seen through a transposition: reading it in place means reading element by element. */
    readonly permuted: boolean;
    readonly stretched: boolean;
  }
  const uses = new Map<Tensor, Use[]>();
  const finalOutput = new Set<Tensor>();
  // Users first: what uses a view uses its source.
  for (let index = order.length - 1; index >= 0; index--) {
    const tensor = order[index]!;
    const own = uses.get(tensor) ?? [];
    for (const operand of new Set(tensor.inputs)) {
      const list = uses.get(operand) ?? [];
      uses.set(operand, list);
      if (isViewKind(tensor.op)) {
        const stretched = tensor.op.kind === "expand";
        const permuted = tensor.op.kind === "permute";
        for (const use of own)
          list.push({
            user: use.user,
            permuted: use.permuted || permuted,
            stretched: use.stretched || stretched,
          });
        if (isOutput.has(tensor) || finalOutput.has(tensor)) finalOutput.add(operand);
      } else list.push({ user: tensor, permuted: false, stretched: false });
    }
  }
  const chosen = new Set<Tensor>();
  const cost = new Map<Tensor, number>();
  const expensive = new Set<Tensor>();
  for (const tensor of order) {
    if (!isElementwise(tensor.op)) {
      // A view costs what its source costs.
      if (isViewKind(tensor.op)) {
        cost.set(tensor, cost.get(tensor.inputs[0]!) ?? 0);
        if (expensive.has(tensor.inputs[0]!)) expensive.add(tensor);
      }
      continue;
    }
    const own = 1 + tensor.inputs.reduce((sum, operand) => sum + (cost.get(operand) ?? 0), 0);
    const isExpensive =
      expensiveKinds.has(tensor.op.kind) || tensor.inputs.some((operand) => expensive.has(operand));
    const users = uses.get(tensor) ?? [];
    const distinct = new Set(users.map((use) => use.user)).size;
    const wanted =
      isOutput.has(tensor) ||
      finalOutput.has(tensor) ||
      accumulates.has(tensor) ||
      own > expressionLimit ||
      users.some(
        (use) =>
          !isElementwise(use.user.op) && use.user.op.kind !== "reduceSum" && use.user.op.kind !== "reduceMax",
      ) ||
      ((isExpensive || slowWhenStretched.has(tensor.op.kind)) && users.some((use) => use.stretched)) ||
      (distinct > 1 && (isExpensive || own > inlineLimit || users.some((use) => use.permuted)));
    if (wanted) chosen.add(tensor);
    else {
      cost.set(tensor, own);
      if (isExpensive) expensive.add(tensor);
    }
  }
  return chosen;
}

export const throughReshape = (tensor: Tensor): Tensor =>
  tensor.op.kind === "reshape" ? tensor.inputs[0]! : tensor;

/** Patches seen as a matrix [positions, kernel·channels], or its transpose. */
export function patchMatrix(tensor: Tensor): { patches: Tensor; transposed: boolean } | undefined {
  const transposed = tensor.op.kind === "permute" && sameShape(tensor.op.axes, [1, 0]);
  const matrix = transposed ? tensor.inputs[0]! : tensor;
  const patches = throughReshape(matrix);
  if (patches.op.kind !== "patches" || matrix.rank !== 2 || matrix.shape[1] !== patches.shape[3])
    return undefined;
  return { patches, transposed };
}

/** Sums of matrix products, each used once: the second product is added onto the first in place. */
export function chooseAccumulations(order: readonly Tensor[], isOutput: ReadonlySet<Tensor>): Set<Tensor> {
  const uses = new Map<Tensor, number>();
  for (const tensor of order)
    for (const source of tensor.inputs) uses.set(source, (uses.get(source) ?? 0) + 1);
  const once = (tensor: Tensor) => uses.get(tensor) === 1 && !isOutput.has(tensor);
  /** The sums, each with its newest product. */
  const newest = new Map<Tensor, Tensor>();
  for (const tensor of order) {
    if (tensor.op.kind !== "add") continue;
    const [sum, next] = tensor.inputs as [Tensor, Tensor];
    const before = sum.op.kind === "dot" ? sum : newest.get(sum);
    if (before && next.op.kind === "dot" && before.id < next.id && once(sum) && once(next))
      newest.set(tensor, next);
  }
  return new Set(newest.keys());
}

/** Patches that only meet matrix products, and products that are only folded back into an image. */
export function chooseConvolutions(order: readonly Tensor[], isOutput: ReadonlySet<Tensor>) {
  const users = new Map<Tensor, Tensor[]>();
  for (const tensor of order)
    for (const source of new Set(tensor.inputs)) {
      const list = users.get(source);
      if (list) list.push(tensor);
      else users.set(source, [tensor]);
    }
  const usersOf = (tensor: Tensor): Tensor[] => (isOutput.has(tensor) ? [] : (users.get(tensor) ?? []));
  /** Every use, looking through reshapes and transpositions, with the operand as the user sees it. */
  const finalUses = (tensor: Tensor): { user: Tensor; operand: Tensor }[] | undefined => {
    if (isOutput.has(tensor)) return undefined;
    const found: { user: Tensor; operand: Tensor }[] = [];
    for (const user of usersOf(tensor)) {
      if (user.op.kind !== "reshape" && user.op.kind !== "permute") {
        found.push({ user, operand: tensor });
        continue;
      }
      const deeper = finalUses(user);
      if (!deeper) return undefined;
      found.push(...deeper);
    }
    return found;
  };
  const patchesOnly = new Set<Tensor>();
  const foldedOnly = new Set<Tensor>();
  for (const tensor of order) {
    if (tensor.op.kind === "patches") {
      const uses = finalUses(tensor);
      const fits = uses?.every(({ user, operand }) => {
        if (user.op.kind !== "dot") return false;
        const [left, right] = [patchMatrix(user.inputs[0]!), patchMatrix(user.inputs[1]!)];
        if (user.inputs[1] === operand)
          return left?.transposed === true && left.patches === tensor && right?.transposed === false;
        return left?.patches === tensor;
      });
      if (fits) patchesOnly.add(tensor);
    } else if (tensor.op.kind === "fold") {
      const product = throughReshape(tensor.inputs[0]!);
      if (product.op.kind !== "dot" || product.rank !== 2 || product.shape[1] !== tensor.inputs[0]!.shape[3])
        continue;
      if (patchMatrix(product.inputs[0]!)) continue;
      const uses = finalUses(product);
      if (uses?.length === 1) foldedOnly.add(product);
    }
  }
  return { patchesOnly, foldedOnly };
}
