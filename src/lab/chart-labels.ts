/**
 * Names of lines beside their ends, where there is room: who reads them needs no legend, and no colours. Each takes the
 * nearest place that covers no other name, and as few lines as can be.
 */

export interface Place {
  readonly x: number;
  readonly y: number;
  readonly anchor: "start" | "end";
}

export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

type XY = readonly [x: number, y: number];

/** Units of one character and of one row: those of the largest letters that a page sets. */
const [character, row] = [8.7, 15];
/** Characters of a name that is still written out. */
const longest = 20;

export const shorten = (label: string): string =>
  label.length <= longest ? label : `${label.slice(0, longest - 1)}…`;
export const widthOf = (text: string): number => character * text.length;

/**
 * Places of names, in the order of the lines; undefined where none is free.
 * @param lines in the units of the picture, the last point of each being its end.
 *
 *     placeLabels([{ label: "adam", line: [[0, 90], [80, 40]] }], { left: 0, right: 200, top: 0, bottom: 100 })
 */
export function placeLabels(
  lines: readonly { readonly label: string; readonly line: readonly XY[] }[],
  frame: Frame,
): (Place | undefined)[] {
  const drawn = lines.flatMap(({ line }) => dense(line));
  const taken: Frame[] = [];
  const places = new Map<number, Place>();
  const order = lines.map((_, k) => k).filter((k) => lines[k]!.line.length > 0);
  order.sort((a, b) => lines[a]!.line.at(-1)![1] - lines[b]!.line.at(-1)![1] || a - b);
  for (const k of order) {
    const { label, line } = lines[k]!;
    const [endX, endY] = line.at(-1)!;
    let best: { readonly cost: number; readonly place: Place; readonly box: Frame } | undefined;
    for (const anchor of ["start", "end"] as const)
      for (let shift = -6; shift <= 6; shift += 0.5) {
        const place = { x: endX + (anchor === "start" ? 7 : -7), y: endY + shift * row, anchor };
        const width = widthOf(shorten(label));
        const left = anchor === "start" ? place.x : place.x - width;
        const box = { left, right: left + width, top: place.y - row / 2, bottom: place.y + row / 2 };
        if (!within(box, frame) || taken.some((other) => overlap(box, other))) continue;
        const covered = drawn.filter(([x, y]) => contains(box, x, y)).length;
        const cost = Math.abs(shift) + 0.5 * covered + (anchor === "start" ? 0 : 0.5);
        if (!best || cost < best.cost) best = { cost, place, box };
      }
    if (!best) continue;
    places.set(k, best.place);
    taken.push(best.box);
  }
  return lines.map((_, k) => places.get(k));
}

/** Points on a line, near enough to one another that no name can lie between two. */
const dense = (line: readonly XY[]): XY[] =>
  line.flatMap(([x, y], k) => {
    const [fromX, fromY] = line[k - 1] ?? [x, y];
    const count = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY) / 5));
    return Array.from({ length: count }, (_, i): XY => {
      const share = (i + 1) / count;
      return [fromX + share * (x - fromX), fromY + share * (y - fromY)];
    });
  });

const within = (box: Frame, frame: Frame) =>
  box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
const overlap = (a: Frame, b: Frame) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const contains = ({ left, right, top, bottom }: Frame, x: number, y: number) =>
  x > left && x < right && y > top && y < bottom;
