/** Layers made of layers. */
import { formatShape, type Shape, ShapeError, sameShape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Tree } from "../tensor/tree.js";
import { type Declaration, type Layer, layer, type Variable, within } from "./layer.js";

type Named = { readonly [name: string]: Layer };
type Children = { readonly [key: string]: Tree<Tensor> };

/**
 * One layer after the other. Parameters are named by position ("layers.1.weight"), or by key where layers are given
 * by name ("hidden.weight").
 *
 *     sequential(flatten(), dense(128), relu(), dense(10))
 *     sequential({ hidden: dense(128), activation: relu(), output: dense(10) })
 *
 * The random stream of an unnamed layer is its kind and its place among those of that kind: inserting a dropout or a
 * norm leaves the initial values of the dense layers as they were.
 */
export function sequential(named: Named): Layer;
export function sequential(...layers: readonly Layer[]): Layer;
export function sequential(first?: Layer | Named, ...others: readonly Layer[]): Layer {
  return first === undefined || isLayer(first)
    ? chain(first === undefined ? [] : [first, ...others])
    : chainNamed(first);
}

const isLayer = (value: Layer | Named): value is Layer => typeof value.apply === "function";

function chain(layers: readonly Layer[]): Layer {
  const kinds = layers.map((child) => child.kind);
  const streams = kinds.map(
    (kind, index) => `${kind} ${kinds.slice(0, index).filter((k) => k === kind).length}`,
  );
  return layer<{ layers?: readonly Tree<Tensor>[] }>({
    kind: "sequential",
    declare(inputShape) {
      const declarations = declareAll(layers, inputShape);
      const collect = (part: "parameters" | "state") => ({
        layers: declarations.map((child, index) => within(streams[index]!, child[part])),
      });
      return {
        parameters: collect("parameters"),
        state: declarations.some((child) => !isEmpty(child.state)) ? collect("state") : {},
        outputShape: declarations.at(-1)?.outputShape ?? inputShape,
      };
    },
    apply(parameters, x, context) {
      const inside = context.child("layers");
      return layers.reduce(
        (y, child, index) => child.apply(parameters.layers?.[index] ?? {}, y, inside.child(index)),
        x,
      );
    },
  });
}

function chainNamed(children: Named): Layer {
  const names = Object.keys(children);
  return layer<Children>({
    kind: "sequential",
    declare(inputShape) {
      const declarations = declareAll(Object.values(children), inputShape);
      const collect = (part: "parameters" | "state") =>
        Object.fromEntries(
          declarations.flatMap((child, index) =>
            isEmpty(child[part]) ? [] : [[names[index]!, within(names[index]!, child[part])]],
          ),
        );
      return {
        parameters: collect("parameters"),
        state: collect("state"),
        outputShape: declarations.at(-1)?.outputShape ?? inputShape,
      };
    },
    apply: (parameters, x, context) =>
      names.reduce((y, name) => children[name]!.apply(parameters[name] ?? {}, y, context.child(name)), x),
  });
}

/** Each layer's declaration for what the one before it gives. */
function declareAll(layers: readonly Layer[], inputShape: Shape): Declaration[] {
  let shape = inputShape;
  return layers.map((child) => {
    const declaration = child.declare(shape);
    shape = declaration.outputShape;
    return declaration;
  });
}

/** Whether a tree of variables is an empty record. */
const isEmpty = (tree: Tree<Variable>): boolean => Object.keys(tree).length === 0;

/**
 * x + branch(x), or shortcut(x) + branch(x) where the branch changes the shape (He, Zhang, Ren, Sun 2016, "Identity
 * Mappings in Deep Residual Networks"). Without a shortcut the parameters are those of the branch, without a level
 * of their own.
 *
 *     residual(sequential(layerNorm(), dense(64), gelu(), dense(16)))
 *     residual(sequential(conv2d(32, 3, { stride: 2 })), conv2d(32, 1, { stride: 2 }))   // branch.…, shortcut.…
 */
export function residual(branch: Layer, shortcut?: Layer): Layer {
  const check = (left: Shape, right: Shape) => {
    if (!sameShape(left, right))
      throw new ShapeError(
        `residual: the branch gives ${formatShape(right)}, the shortcut ${formatShape(left)}; they are added`,
      );
  };
  if (shortcut === undefined)
    return layer<Tree<Tensor>>({
      kind: "residual",
      declare(inputShape) {
        const declaration = branch.declare(inputShape);
        check(inputShape, declaration.outputShape);
        return declaration;
      },
      apply: (parameters, x, context) => x.add(branch.apply(parameters, x, context)),
    });
  return layer<{ branch: Tree<Tensor>; shortcut: Tree<Tensor> }>({
    kind: "residual",
    declare(inputShape) {
      const [main, side] = [branch.declare(inputShape), shortcut.declare(inputShape)];
      check(side.outputShape, main.outputShape);
      const collect = (part: "parameters" | "state") => ({
        branch: within("branch", main[part]),
        shortcut: within("shortcut", side[part]),
      });
      return { parameters: collect("parameters"), state: collect("state"), outputShape: main.outputShape };
    },
    apply: (parameters, x, context) =>
      shortcut
        .apply(parameters.shortcut, x, context.child("shortcut"))
        .add(branch.apply(parameters.branch, x, context.child("branch"))),
  });
}

/**
 * A layer that is built from the shape of its input.
 *
 *     sized("widen", ([width]) => dense(4 * width!))
 */
export const sized = (kind: string, build: (inputShape: Shape) => Layer): Layer =>
  layer<Tree<Tensor>>({
    kind,
    declare: (inputShape) => build(inputShape).declare(inputShape),
    apply: (parameters, x, context) => build(x.shape.slice(1)).apply(parameters, x, context),
  });
