/** A picture within a row of a table: the values of a row on a scale that all rows share. The numbers stand beside it. */

export interface Strip {
  readonly colour: number;
  readonly dots: readonly number[];
  /** Drawn as a line. */
  readonly interval?: readonly [low: number, high: number];
}

const [width, height, edge] = [150, 16, 5];

/** @param from and to of the scale. @returns a cell of a table. */
export function drawStrip({ colour, dots, interval }: Strip, from: number, to: number): string {
  const x = (value: number) => (edge + ((value - from) / (to - from || 1)) * (width - 2 * edge)).toFixed(1);
  const line = (kind: string, [low, high]: readonly [number, number]) =>
    `<line class="${kind}" x1="${x(low)}" x2="${x(high)}" y1="${height / 2}" y2="${height / 2}"/>`;
  return (
    `<td><svg class="strip s${colour % 8}" viewBox="0 0 ${width} ${height}" aria-hidden="true">${line("grid", [from, to])}` +
    (interval ? line("line", interval) : "") +
    `${dots.map((value) => `<circle class="end" cx="${x(value)}" cy="${height / 2}" r="4"/>`).join("")}</svg></td>`
  );
}
