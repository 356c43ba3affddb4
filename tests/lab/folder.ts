import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

/** A new empty folder, removed when the file's tests have run. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "thalweg-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** y = 3·a + b/2 + noise-free interaction, as a CSV file: small enough for runs of a few milliseconds. */
export function writeTable(folder: string, rows = 80): string {
  const path = join(folder, "table.csv");
  const lines = Array.from({ length: rows }, (_, i) => {
    const [a, b] = [(i * 7) % 13, (i * 5) % 11];
    return `${a},${b},${3 * a + b / 2 + Math.sin(a * b)}`;
  });
  writeFileSync(path, ["a,b,y", ...lines, ""].join("\n"));
  return path;
}
