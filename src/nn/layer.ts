/**
 * A layer declares its parameters for an input shape and applies them to a batch. Both are pure: values live in
 * trees that the caller holds, and what a layer learns beside its gradient (running statistics) is recorded in the
 * context of one application.
 */
import type { NDArray } from "../tensor/array.js";
import type { DType } from "../tensor/dtype.js";
import { formatShape, type Shape, ShapeError } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { mapTree, type Tree } from "../tensor/tree.js";
import type { Initialiser } from "./initialisers.js";
import type { Random } from "./random.js";

/** A parameter or statistic before it has values. */
export interface Variable {
  readonly shape: Shape;
  readonly initialise: Initialiser;
  /** Name of the random stream; by default the variable's path. */
  readonly stream?: string;
}

/** What a layer needs and gives for one input shape; shapes are per example, without the batch axis. */
export interface Declaration {
  readonly parameters: Tree<Variable>;
  readonly state: Tree<Variable>;
  readonly outputShape: Shape;
}

/** Values of a declaration. */
export interface Initial {
  readonly parameters: Tree<NDArray>;
  readonly state: Tree<NDArray>;
  readonly outputShape: Shape;
}

/** One application of a layer: where it stands in the model, and what passes through beside the data. */
export interface Context {
  /** Path of this layer's parameters, "" at the root: "layers.1". */
  readonly path: string;
  readonly training: boolean;
  /** i32 [2], for layers that draw random numbers. */
  readonly key: Tensor | undefined;
  /** This layer's state. */
  readonly state: Tree<Tensor>;
  /** Notes a new value of this layer's state variable `name`. */
  record(name: string, value: Tensor): void;
  /** The context of a layer inside this one, whose parameters are found under `key`. */
  child(key: string | number): Context;
}

export interface Layer<P extends Tree<Tensor> = Tree<Tensor>> {
  /** The layer's name in messages, marks and streams: "dense". */
  readonly kind: string;
  /** Shapes and initialisers for inputs of this per-example shape, nothing allocated. @throws ShapeError */
  declare(inputShape: Shape): Declaration;
  /** Initial parameters (trainable) and state (running statistics). */
  init(random: Random, inputShape: Shape, dtype: DType): Initial;
  /** x has a leading batch axis. */
  apply(parameters: P, x: Tensor, context: Context): Tensor;
}

export const isVariable = (value: unknown): value is Variable =>
  typeof value === "object" && value !== null && "initialise" in value;

/**
 * A layer from its declaration and its application.
 *
 *     const scale = () => layer<{ factor: Tensor }>({
 *       kind: "scale",
 *       declare: (shape) => ({ parameters: { factor: { shape, initialise: ones() } }, state: {}, outputShape: shape }),
 *       apply: ({ factor }, x) => x.mul(factor),
 *     });
 */
export function layer<P extends Tree<Tensor>>(definition: Omit<Layer<P>, "init">): Layer<P> {
  return {
    ...definition,
    init: (random, inputShape, dtype) => initialise(definition.declare(inputShape), random, dtype),
  };
}

/**
 * Draws the values of a declaration, each variable from its own stream.
 *
 *     const { parameters } = initialise(dense(10).declare([784]), random(0), "f32");   // weight [784, 10], bias [10]
 */
export function initialise(declaration: Declaration, random: Random, dtype: DType): Initial {
  const draw = (tree: Tree<Variable>) =>
    mapTree<Variable, NDArray>(tree, isVariable, (variable, name) =>
      variable.initialise(random.stream(variable.stream ?? name), variable.shape, dtype),
    );
  return {
    parameters: draw(declaration.parameters),
    state: draw(declaration.state),
    outputShape: declaration.outputShape,
  };
}

/**
 * The variables of a layer inside another, with their random streams below `stream`.
 *
 *     parameters: { inner: within("inner", dense(8).declare(inputShape).parameters) }
 */
export const within = (stream: string, variables: Tree<Variable>): Tree<Variable> =>
  mapTree<Variable, Variable>(variables, isVariable, (variable, name) => ({
    ...variable,
    stream: `${stream}/${variable.stream ?? name}`,
  }));

/** The name of a marked map: its path, or the layer's kind where the layer is the whole model. */
export const nameOf = (context: Context, kind: string): string => context.path || kind;

/** @throws ShapeError when the per-example shape has another number of axes than `axes` names. */
export function needRank(kind: string, inputShape: Shape, axes: string): void {
  if (inputShape.length !== axes.split(", ").length)
    throw new ShapeError(`${kind}: needs examples of shape [${axes}], not ${formatShape(inputShape)}`);
}
