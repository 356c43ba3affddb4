/** Tables in CSV with a header (RFC 4180): numbers as features, one column as the target. */
import { readFileSync } from "node:fs";
import { type Split, split } from "./dataset.js";
import { DataError } from "./error.js";

export interface TableOptions {
  /** Column to predict. */
  readonly target: string;
  /** Columns to predict from; default: all others. */
  readonly features?: readonly string[];
  /** Default: classification when the target is text or at most 20 distinct whole numbers. */
  readonly task?: "classification" | "regression";
  readonly testFraction?: number;
  readonly seed?: number;
  /** Whether columns get mean 0 and deviation 1 (default), or stay as they are. */
  readonly standardised?: boolean;
}

/**
 * Rows of fields; quotes may hold separators, line breaks and doubled quotes.
 *
 *     parseCsv('name,price\n"Lee, Ann",3\n', "prices.csv")   // [["name", "price"], ["Lee, Ann", "3"]]
 *
 * @throws DataError when a quote is not closed.
 */
export function parseCsv(text: string, name: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let quoted = false;
  let line = 1;
  const endField = () => {
    row.push(field);
    field = "";
  };
  const endRow = () => {
    endField();
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "\n") line++;
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[i + 1] === '"') {
        field += '"';
        i++;
      } else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === ",") endField();
    else if (c === "\n") endRow();
    else if (!(c === "\r" && text[i + 1] === "\n")) field += c;
  }
  if (quoted)
    throw new DataError(`"${name}": a quote is not closed before the end of the file (line ${line})`);
  if (field !== "" || row.length > 0) endRow();
  return rows;
}

/**
 * Reads a table and splits it; features are standardised with the mean and deviation of the training part, and so are
 * the targets of a regression, unless columns shall stay as they are.
 *
 *     const { train, test } = readTable("housing.csv", { target: "price" });
 *
 * @throws DataError when the file cannot be read, a column is missing, a row is ragged or a feature is no number.
 */
export function readTable(path: string, options: TableOptions): Split {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new DataError(
      `"${path}" cannot be read (${(error as NodeJS.ErrnoException).code ?? error}); check the path`,
    );
  }
  const [header, ...rows] = parseCsv(text, path);
  if (!header || rows.length === 0) throw new DataError(`"${path}" has no rows below a header`);
  rows.forEach((row, index) => {
    if (row.length !== header.length)
      throw new DataError(`"${path}" row ${index + 2} has ${row.length} fields, its header ${header.length}`);
  });
  const column = (name: string): number => {
    const found = header.indexOf(name);
    if (found < 0)
      throw new DataError(
        `"${path}" has no column "${name}"; it has ${header.map((h) => `"${h}"`).join(", ")}`,
      );
    return found;
  };
  const target = column(options.target);
  const features = (options.features ?? header.filter((name) => name !== options.target)).map(column);
  if (features.length === 0)
    throw new DataError(`"${path}" has no column to predict "${options.target}" from`);
  const number = (row: number, at: number): number => {
    const field = rows[row]![at]!.trim();
    const value = Number(field);
    if (field === "" || !Number.isFinite(value))
      throw new DataError(
        `"${path}" row ${row + 2}, column "${header[at]}": "${field}" is not a number; clean it or leave the column out (features)`,
      );
    return value;
  };
  const raw = rows.map((row) => row[target]!.trim());
  const distinct = [...new Set(raw)];
  const numeric = raw.every((field) => field !== "" && Number.isFinite(Number(field)));
  const task =
    options.task ??
    (!numeric || (distinct.length <= 20 && distinct.every((f) => Number.isInteger(Number(f))))
      ? "classification"
      : "regression");
  const inputs = new Float32Array(rows.length * features.length);
  rows.forEach((_, r) => {
    features.forEach((at, k) => {
      inputs[r * features.length + k] = number(r, at);
    });
  });
  const finish = options.standardised === false ? (parts: Split) => parts : standardize;
  const base = { name: path, size: rows.length, inputShape: [features.length], inputs };
  if (task === "classification") {
    const classes = distinct.sort((a, b) => (numeric ? Number(a) - Number(b) : a < b ? -1 : 1));
    const targets = Int32Array.from(raw, (field) => classes.indexOf(field));
    return finish(
      split({ ...base, targetShape: [], targets, classes }, options.testFraction ?? 0.2, options.seed ?? 0),
    );
  }
  const targets = Float32Array.from(rows, (_, r) => number(r, target));
  return finish(
    split({ ...base, targetShape: [1], targets }, options.testFraction ?? 0.2, options.seed ?? 0),
  );
}

/** Zero mean and unit deviation, as measured on the training part; constant columns become 0. */
function standardize({ train, test }: Split): Split {
  const scale = (values: readonly (Float32Array | Int32Array)[], width: number) => {
    const [own] = values as [Float32Array];
    const count = own.length / width;
    for (let k = 0; k < width; k++) {
      let mean = 0;
      for (let i = k; i < own.length; i += width) mean += own[i]! / count;
      let variance = 0;
      for (let i = k; i < own.length; i += width) variance += (own[i]! - mean) ** 2 / count;
      const factor = variance > 1e-12 * mean ** 2 ? 1 / Math.sqrt(variance) : 0;
      for (const list of values)
        for (let i = k; i < list.length; i += width) list[i] = (list[i]! - mean) * factor;
    }
  };
  scale([train.inputs, test.inputs], train.inputShape[0]!);
  if (train.targets instanceof Float32Array) scale([train.targets, test.targets], 1);
  return { train, test };
}
