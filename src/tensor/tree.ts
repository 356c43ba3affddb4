/** Leaves in nested lists and records: how parameters, gradients and batches are named. */
export type Tree<L> = L | readonly Tree<L>[] | { readonly [name: string]: Tree<L> };

export interface Leaf<L> {
  /** Path joined by dots: "layers.0.weight". */
  readonly name: string;
  readonly value: L;
}

type IsLeaf<L> = (value: unknown) => value is L;

/** The leaves in order of their keys' insertion, with their paths. */
export function leavesOf<L>(tree: Tree<L>, isLeaf: IsLeaf<L>, path = ""): Leaf<L>[] {
  if (isLeaf(tree)) return [{ name: path, value: tree }];
  const join = (key: string) => (path === "" ? key : `${path}.${key}`);
  if (Array.isArray(tree))
    return tree.flatMap((item, index) => leavesOf(item as Tree<L>, isLeaf, join(String(index))));
  if (typeof tree === "object" && tree !== null)
    return Object.entries(tree as { [name: string]: Tree<L> }).flatMap(([key, item]) =>
      leavesOf(item, isLeaf, join(key)),
    );
  throw new TypeError(`tree: ${String(tree)} at "${path}" is neither a leaf, a list nor a record`);
}

/** The same structure with each leaf replaced. */
export function mapTree<L, M>(
  tree: Tree<L>,
  isLeaf: IsLeaf<L>,
  f: (leaf: L, name: string) => M,
  path = "",
): Tree<M> {
  if (isLeaf(tree)) return f(tree, path);
  const join = (key: string) => (path === "" ? key : `${path}.${key}`);
  if (Array.isArray(tree))
    return tree.map((item, index) => mapTree(item as Tree<L>, isLeaf, f, join(String(index))));
  return Object.fromEntries(
    Object.entries(tree as { [name: string]: Tree<L> }).map(([key, item]) => [
      key,
      mapTree(item, isLeaf, f, join(key)),
    ]),
  );
}

/** Puts leaves (in `leavesOf` order) back into the structure of `tree`. */
export function unflattenTree<L, M>(tree: Tree<L>, isLeaf: IsLeaf<L>, leaves: readonly M[]): Tree<M> {
  let next = 0;
  return mapTree(tree, isLeaf, () => leaves[next++]!);
}
