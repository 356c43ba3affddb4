/**
 * Recurrent layers over batch-major sequences [batch, steps, in]. The inputs of all steps are projected by one
 * product before the recurrence; each step then multiplies the hidden state only. Parameters: input.weight
 * [in, gates·units], input.bias, recurrent.weight [units, gates·units]. Both maps are marked as dense, the recurrent
 * one once a step; the states that go from step to step are marked as hidden.
 */

import { isTensor } from "../tensor/program.js";
import { scan } from "../tensor/scan.js";
import { type Tensor, zeros as zeroTensor } from "../tensor/tensor.js";
import { mapTree } from "../tensor/tree.js";
import { type Affine, affine, affineVariables } from "./dense.js";
import { blocks, glorotUniform, type Initialiser, ones, orthogonal, zeros } from "./initialisers.js";
import { type Context, type Layer, layer, nameOf, needRank } from "./layer.js";

type Recurrent = { readonly input: Affine; readonly recurrent: Affine };

export interface RecurrentOptions {
  /** The hidden states of all steps, [batch, steps, units] (default), or the last one, [batch, units]. */
  readonly output?: "sequence" | "last";
  /** Initialiser of each gate's input weight, default glorotUniform. */
  readonly weight?: Initialiser;
  /** Initialiser of each gate's recurrent weight, default orthogonal. */
  readonly recurrent?: Initialiser;
}

/** Gates in the order of their columns, with the initial value of each one's bias. */
interface Cell<S extends Tensor | { [name: string]: Tensor }> {
  readonly kind: string;
  readonly biases: readonly Initialiser[];
  start(zero: Tensor): S;
  /** x: projected input of this step, [batch, gates·units]; multiply: state ↦ state·recurrent.weight. */
  step(state: S, x: Tensor, multiply: (hidden: Tensor) => Tensor): S;
  hidden(state: S): Tensor;
}

/**
 * hₜ = tanh(xₜ·W + b + hₜ₋₁·U) (Elman 1990): [batch, steps, in] → [batch, steps, units].
 *
 *     sequential(embedding(65, 32), rnn(64), dense(65))
 */
export const rnn = (units: number, options: RecurrentOptions = {}): Layer<Recurrent> =>
  recurrent<Tensor>(units, options, {
    kind: "rnn",
    biases: [zeros()],
    start: (zero) => zero,
    step: (hidden, x, multiply) => x.add(multiply(hidden)).tanh(),
    hidden: (hidden) => hidden,
  });

/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate of Gers, Schmidhuber, Cummins 2000, its bias
 * initially 1 as in Jozefowicz, Zaremba, Sutskever 2015). Columns: input, forget, candidate, output.
 *   i, f, o = σ(·), g = tanh(·) of xₜ·W + b + hₜ₋₁·U;  cₜ = f⊙cₜ₋₁ + i⊙g;  hₜ = o⊙tanh cₜ
 *
 *     lstm(128, { output: "last" })      // [batch, steps, in] → [batch, 128]
 */
export const lstm = (units: number, options: RecurrentOptions = {}): Layer<Recurrent> =>
  recurrent<{ hidden: Tensor; memory: Tensor }>(units, options, {
    kind: "lstm",
    biases: [zeros(), ones(), zeros(), zeros()],
    start: (zero) => ({ hidden: zero, memory: zero }),
    step({ hidden, memory }, x, multiply) {
      const [i, f, g, o] = gates(x.add(multiply(hidden)), 4);
      const next = f!.sigmoid().mul(memory).add(i!.sigmoid().mul(g!.tanh()));
      return { hidden: o!.sigmoid().mul(next.tanh()), memory: next };
    },
    hidden: (state) => state.hidden,
  });

/**
 * Gated recurrent unit (Cho et al. 2014), with the reset gate applied after the recurrent product, so that a step is
 * one product. Columns: reset, update, candidate; the recurrent map has no bias.
 *   r, z = σ(·);  n = tanh(xₜ·Wₙ + bₙ + r⊙(hₜ₋₁·Uₙ));  hₜ = (1 − z)⊙n + z⊙hₜ₋₁
 *
 *     gru(64)
 */
export const gru = (units: number, options: RecurrentOptions = {}): Layer<Recurrent> =>
  recurrent<Tensor>(units, options, {
    kind: "gru",
    biases: [zeros(), zeros(), zeros()],
    start: (zero) => zero,
    step(hidden, x, multiply) {
      const [xr, xz, xn] = gates(x, 3);
      const [hr, hz, hn] = gates(multiply(hidden), 3);
      const candidate = xn!.add(xr!.add(hr!).sigmoid().mul(hn!)).tanh();
      return candidate.add(xz!.add(hz!).sigmoid().mul(hidden.sub(candidate)));
    },
    hidden: (hidden) => hidden,
  });

/** Equal parts of the last axis of [batch, count·units]. */
function gates(x: Tensor, count: number): Tensor[] {
  const units = x.shape[1]! / count;
  return Array.from({ length: count }, (_, k) => x.slice(1, k * units, (k + 1) * units));
}

function recurrent<S extends Tensor | { [name: string]: Tensor }>(
  units: number,
  { output = "sequence", weight = glorotUniform(), recurrent: hidden = orthogonal() }: RecurrentOptions,
  cell: Cell<S>,
): Layer<Recurrent> {
  const count = cell.biases.length;
  const forEachGate = (initialiser: Initialiser) => blocks(cell.biases.map(() => initialiser));
  return layer<Recurrent>({
    kind: cell.kind,
    declare(inputShape) {
      needRank(cell.kind, inputShape, "steps, features");
      const [steps, width] = inputShape as [number, number];
      const input = { weight: forEachGate(weight), bias: blocks(cell.biases) };
      return {
        parameters: {
          input: affineVariables(width, count * units, input),
          recurrent: affineVariables(units, count * units, { weight: forEachGate(hidden), bias: false }),
        },
        state: {},
        outputShape: output === "last" ? [units] : [steps, units],
      };
    },
    apply(parameters, x, context: Context) {
      const name = nameOf(context, cell.kind);
      const projected = affine(parameters.input, x, `${name}.input`).permute([1, 0, 2]);
      const multiply = (state: Tensor) => affine(parameters.recurrent, state, `${name}.recurrent`);
      const start = cell.start(zeroTensor([x.shape[0]!, units], x.dtype));
      const [last, sequence] = scan<S, Tensor, Tensor>(
        (state, step) => {
          const next = mapTree<Tensor, Tensor>(cell.step(state, step, multiply), isTensor, (part) =>
            part.marked({ layer: "hidden", name }),
          ) as S;
          return [next, cell.hidden(next)];
        },
        start,
        projected,
      );
      return output === "last" ? cell.hidden(last) : sequence.permute([1, 0, 2]);
    },
  });
}
