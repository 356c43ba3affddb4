/** Names that were probably meant. */

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** "learningRate" → "lr" */
const initials = (name: string) =>
  name.replace(/[^A-Z0-9]/g, (c, at: number) => (at === 0 ? c : "")).toLowerCase();

/**
 * The known names closest to an unknown one, best first; none when nothing is close.
 *
 *     nearestNames("lr", ["learningRate", "momentum"])   // ["learningRate"]
 */
export function nearestNames(unknown: string, known: readonly string[], most = 3): string[] {
  const word = unknown.toLowerCase().replace(/[-_ ]/g, "");
  const score = (name: string): number => {
    const other = name.toLowerCase().replace(/[-_ ]/g, "");
    if (other === word || initials(name) === word) return 0;
    if (word.length > 1 && (other.startsWith(word) || word.startsWith(other))) return 1;
    if (word.length > 2 && (other.includes(word) || word.includes(other))) return 1.5;
    return distance(word, other);
  };
  const scored = known.map((name) => ({ name, score: score(name) }));
  const best = Math.min(...scored.map((entry) => entry.score));
  return scored
    .filter((entry) => entry.score <= best + 0.5 && entry.score <= Math.max(2, Math.floor(word.length / 3)))
    .sort((a, b) => a.score - b.score || a.name.localeCompare(b.name))
    .slice(0, most)
    .map((entry) => entry.name);
}

/**
 * "; did you mean a or b?", or nothing.
 *
 *     didYouMean("adma", ["adam", "sgd"])   // "; did you mean adam?"
 */
export function didYouMean(unknown: string, known: readonly string[]): string {
  const near = nearestNames(unknown, known);
  return near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "";
}
