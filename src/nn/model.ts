/** A layer bound to an input shape: what optimizers, the lab and the advisor are given. */
import type { NDArray, Spec } from "../tensor/array.js";
import { isTensor } from "../tensor/program.js";
import { formatShape, type Shape, ShapeError, sameShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { leavesOf, mapTree, type Tree } from "../tensor/tree.js";
import { type Context, initialise, isVariable, type Layer, type Variable } from "./layer.js";
import { type Layout, layoutOf } from "./parameters.js";
import { type Random, random } from "./random.js";

/** How a model is applied; the default is evaluation of a model without state. */
export interface Mode {
  readonly training?: boolean;
  /** i32 [2]; a new one for each step. Needed by dropout in training. */
  readonly key?: Tensor;
  /** Running statistics, for models that have some (batchNorm). */
  readonly state?: Tree<Tensor>;
}

export interface Model {
  readonly layer: Layer;
  /** Shape of one example's inputs and outputs. */
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  readonly dtype: "f32" | "f64";
  /** Names and shapes of the parameters and of the state; nothing is allocated. */
  readonly parameters: Tree<Spec>;
  readonly state: Tree<Spec>;
  /** The parameters in one vector. */
  readonly layout: Layout;
  /** Initial values; equal seeds give equal values. */
  init(seed: number | Random): { parameters: Tree<NDArray>; state: Tree<NDArray> };
  /** inputs [batch, ...inputShape] → outputs [batch, ...outputShape]. */
  apply(parameters: Tree<Tensor>, inputs: Tensor, mode?: Mode): Tensor;
  /** As `apply`, with the state after this batch (unchanged unless training). */
  forward(parameters: Tree<Tensor>, inputs: Tensor, mode?: Mode): { outputs: Tensor; state: Tree<Tensor> };
}

/**
 * Binds a layer to the shape of one example.
 *
 *     const classifier = model(sequential(flatten(), dense(128), relu(), dense(10)), [28, 28, 1]);
 *     const { parameters } = classifier.init(0);            // layers.1.weight, layers.1.bias, layers.3.weight, …
 *     const logits = classifier.apply(tensors, images);     // while tracing: [batch, 10]
 *
 * @throws ShapeError when a layer does not accept what the one before it gives.
 */
export function model(layer: Layer, inputShape: Shape, dtype: "f32" | "f64" = "f32"): Model {
  const declaration = layer.declare(inputShape);
  const specs = (tree: Tree<Variable>) =>
    mapTree<Variable, Spec>(tree, isVariable, ({ shape }) => ({ dtype, shape }));
  const [parameterSpecs, stateSpecs] = [specs(declaration.parameters), specs(declaration.state)];
  const layout = layoutOf(parameterSpecs, dtype);
  const statistics = leavesOf<Variable>(declaration.state, isVariable).map((leaf) => leaf.name);

  const forward: Model["forward"] = (parameters, inputs, mode = {}) => {
    if (!sameShape(inputs.shape.slice(1), inputShape) || inputs.rank === 0)
      throw new ShapeError(
        `model: inputs must be [batch, ${inputShape.join(", ")}], not ${formatShape(inputs.shape)}`,
      );
    if (statistics.length > 0 && mode.state === undefined)
      throw new ShapeError(`model: has running statistics (${statistics.join(", ")}); pass them as state`);
    needParameters(layout, parameters);
    const before = mode.state ?? {};
    const recorded = new Map<string, Tensor>();
    const outputs = layer.apply(parameters, inputs, contextAt("", before, mode, recorded));
    const state = mapTree<Tensor, Tensor>(before, isTensor, (old, name) => recorded.get(name) ?? old);
    return { outputs, state };
  };
  return {
    layer,
    inputShape,
    outputShape: declaration.outputShape,
    dtype,
    parameters: parameterSpecs,
    state: stateSpecs,
    layout,
    init(seed) {
      const { parameters, state } = initialise(
        declaration,
        typeof seed === "number" ? random(seed) : seed,
        dtype,
      );
      return { parameters, state };
    },
    forward,
    apply: (parameters, inputs, mode) => forward(parameters, inputs, mode).outputs,
  };
}

/** @throws ShapeError when a parameter is missing or has another shape. */
function needParameters(layout: Layout, parameters: Tree<Tensor>): void {
  const given = new Map(leavesOf<Tensor>(parameters, isTensor).map(({ name, value }) => [name, value.shape]));
  for (const { name, shape } of layout.entries) {
    const found = given.get(name);
    if (!found || !sameShape(found, shape))
      throw new ShapeError(
        `model: parameter "${name}" must be ${formatShape(shape)}, ${found ? `not ${formatShape(found)}` : "and is missing"}`,
      );
  }
}

/** The context at a path; new state is collected in `recorded` by full name. */
function contextAt(path: string, state: Tree<Tensor>, mode: Mode, recorded: Map<string, Tensor>): Context {
  const join = (key: string | number) => (path === "" ? String(key) : `${path}.${key}`);
  return {
    path,
    training: mode.training ?? false,
    key: mode.key,
    state,
    record: (name, value) => {
      recorded.set(join(name), value);
    },
    child: (key) =>
      contextAt(join(key), (state as { [name: string]: Tree<Tensor> })[key] ?? {}, mode, recorded),
  };
}
