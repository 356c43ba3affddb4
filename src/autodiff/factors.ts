/**
 * Known factors of one tangent become one factor. The derivative of a function of single elements, made of several
 * primitives, is a chain and a sum of products with arrays that do not depend on the tangent:
 *
 *     y = x·σ(u(x)):   ẏ = ẋ ⊙ σ + ((ẋ ⊙ u′) ⊙ σ′) ⊙ x   →   ẏ = ẋ ⊙ f,   f = σ + u′ ⊙ σ′ ⊙ x
 *
 * f belongs to the part that is computed once (`splitLinear`), which keeps one array where it kept three, and the
 * tangent and its transpose multiply by the same f.
 */
import { times } from "../tensor/primitives/rules.js";
import { full, Tensor } from "../tensor/tensor.js";

/** base ⊙ factor; `sum`: the factor is a sum. */
interface Scaled {
  readonly base: Tensor;
  readonly factor: Tensor;
  readonly sum: boolean;
}

/** The outputs of a linear map with factors joined; `order` are the tensors between them and its variables. */
export function joinFactors(
  variables: readonly Tensor[],
  order: readonly Tensor[],
  outputs: readonly (Tensor | undefined)[],
): (Tensor | undefined)[] {
  const dependent = new Set([...variables, ...order]);
  const scaled = new Map<Tensor, Scaled>();
  const joined = new Map<Tensor, Tensor>();
  const own = (tensor: Tensor) => joined.get(tensor) ?? tensor;
  const uses = new Map<Tensor, number>();
  for (const tensor of [...order.flatMap(({ inputs }) => inputs), ...outputs])
    if (tensor) uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  const scaledOf = (tensor: Tensor): Scaled =>
    (uses.get(tensor) === 1 ? scaled.get(tensor) : undefined) ?? {
      base: own(tensor),
      factor: full(tensor, 1),
      sum: false,
    };
  for (const tensor of order) {
    const { op, inputs } = tensor;
    const form = scaledForm(tensor, (operand) => (dependent.has(operand) ? scaledOf(operand) : undefined));
    if (form) scaled.set(tensor, form);
    if (form?.sum) joined.set(tensor, form.base.mul(form.factor));
    // All that follow, so that their order, by which products are summed in place, stays.
    else if (joined.size > 0) joined.set(tensor, Tensor.source(op, tensor, ...inputs.map(own)));
  }
  return outputs.map((output) => output && own(output));
}

/** The tensor as a multiple of what an input of it is a multiple of; `of` is undefined for what is known. */
function scaledForm({ op, inputs }: Tensor, of: (operand: Tensor) => Scaled | undefined): Scaled | undefined {
  const [a, b] = inputs as [Tensor, Tensor];
  switch (op.kind) {
    case "neg": {
      const x = of(a)!;
      return { ...x, factor: x.factor.neg() };
    }
    case "mul": {
      const [x, known] = of(a) ? [of(a)!, b] : [of(b)!, a];
      if (known.op.kind === "expand") return undefined;
      return { ...x, factor: times(x.factor, known) };
    }
    case "add":
    case "sub": {
      const [x, y] = [of(a), of(b)];
      if (!x || !y || x.base !== y.base) return undefined;
      const factor = op.kind === "add" ? x.factor.add(y.factor) : x.factor.sub(y.factor);
      return { base: x.base, factor, sum: true };
    }
    default:
      return undefined;
  }
}
