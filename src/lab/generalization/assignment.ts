/**
 * The assignment of rows to columns that has the least sum: shortest augmenting paths with potentials, O(n³) (Kuhn 1955,
 * "The Hungarian method for the assignment problem"; Jonker & Volgenant 1987). Potentials u, v keep every reduced cost
 * c − u − v at least 0, and 0 where a row is assigned; each row is added along a shortest path of reduced costs.
 */

/**
 * The column of each row, a permutation, with the least Σ cost[i·n + column(i)].
 *
 *     leastAssignment(Float64Array.of(4, 1, 2, 0), 2);   // [1, 0]
 *
 * @param cost [n, n], finite.
 */
export function leastAssignment(cost: Float64Array, n: number): Int32Array {
  const [u, v] = [new Float64Array(n), new Float64Array(n + 1)];
  /** Row of each column, −1 while it has none; column n stands for the start of a path. */
  const rowOf = new Int32Array(n + 1).fill(-1);
  const [before, length] = [new Int32Array(n), new Float64Array(n)];
  for (let row = 0; row < n; row++) {
    rowOf[n] = row;
    length.fill(Number.POSITIVE_INFINITY);
    const visited = new Uint8Array(n + 1);
    let column = n;
    while (rowOf[column] !== -1) {
      visited[column] = 1;
      const i = rowOf[column]!;
      let [nearest, delta] = [-1, Number.POSITIVE_INFINITY];
      for (let j = 0; j < n; j++) {
        if (visited[j]) continue;
        const reduced = cost[i * n + j]! - u[i]! - v[j]!;
        if (reduced < length[j]!) {
          length[j] = reduced;
          before[j] = column;
        }
        if (length[j]! < delta) [nearest, delta] = [j, length[j]!];
      }
      for (let j = 0; j <= n; j++)
        if (visited[j]) {
          u[rowOf[j]!]! += delta;
          v[j]! -= delta;
        } else if (j < n) length[j]! -= delta;
      column = nearest;
    }
    for (; column !== n; column = before[column]!) rowOf[column] = rowOf[before[column]!]!;
  }
  const columnOf = new Int32Array(n);
  for (let j = 0; j < n; j++) columnOf[rowOf[j]!] = j;
  return columnOf;
}
