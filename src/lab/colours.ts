/** Colours of what is compared: a method has its own on every page, whoever else takes part. */

/** Eight colours, first as whole lines, then as dashed ones; the order keeps those apart that are often compared. */
const own: readonly string[] = [
  ...["sgd", "momentum", "adam", "adamw", "lbfgs", "kfac", "shampoo", "soap"],
  ...["nesterov", "muon", "rmsprop", "lion", "newton", "hessianFree", "naturalGradient", "ekfac"],
];

/**
 * A colour for each label, numbers from 0 to 15 (modulo 8 the colour, then whether it is dashed). A label begins with a
 * method's name, or says something else; whoever has no colour of its own, or comes second, gets the next free one.
 *
 *     coloursOf(["adam", "adam(beta1=0.5)", "kfac"])   // [2, 0, 5]
 */
export function coloursOf(labels: readonly string[]): number[] {
  const taken = new Set<number>();
  const colours = labels.map((label) => {
    const colour = own.indexOf(/^\w*/.exec(label)![0]);
    if (colour < 0 || taken.has(colour)) return undefined;
    taken.add(colour);
    return colour;
  });
  return colours.map((colour, k) => {
    if (colour !== undefined) return colour;
    const free = own.findIndex((_, candidate) => !taken.has(candidate));
    taken.add(free);
    return free < 0 ? k % own.length : free;
  });
}
