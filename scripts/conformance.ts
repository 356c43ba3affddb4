/**
 * npm run conformance -- <folder> [--json] [--only name[,name…]]
 *
 * Repeats every reference trajectory of a folder (format: tests/vectors/README.md) and prints the worst relative
 * deviation of losses and parameters of each file beside what is attainable. Exit code 1: an optimizer that exists
 * deviates; 2: the folder, or a file in it, cannot be used.
 */
import { parseArgs } from "node:util";
import { createRuntime } from "../src/runtime/runtime.js";
import { compareFolder, exitCode, type Table } from "./conformance/compare.js";
import { FormatError } from "./conformance/format.js";

const usage = "usage: npm run conformance -- <folder> [--json] [--only name[,name…]]";

const scientific = (value: number | undefined) => (value === undefined ? "" : value.toExponential(1));

function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, k) => Math.max(...rows.map((row) => row[k]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, k) => (k === row.length - 1 ? cell : cell.padEnd(widths[k]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function print({ problems, files }: Table): void {
  if (problems.length > 0)
    console.log(
      columns([
        ["problem at its start", "", "loss", "gradient", "attainable", "status", ""],
        ...problems.map((row) => [
          row.problem,
          row.dtype,
          scientific(row.lossDeviation),
          scientific(row.gradientDeviation),
          scientific(row.tolerance),
          row.status,
          row.note,
        ]),
      ]),
      "\n",
    );
  console.log(
    columns([
      ["problem", "optimizer", "steps", "amplification", "loss", "parameters", "attainable", "status", ""],
      ...files.map((row) => [
        row.problem,
        row.optimizer,
        row.steps === undefined ? "" : String(row.steps),
        row.amplification === undefined ? "" : String(row.amplification),
        scientific(row.lossDeviation),
        scientific(row.parameterDeviation),
        scientific(row.tolerance),
        row.status,
        row.note,
      ]),
    ]),
  );
  const count = (status: string) => files.filter((row) => row.status === status).length;
  const parts = ["ok", "deviates", "missing", "unusable"].map((status) => `${count(status)} ${status}`);
  console.log(`\n${files.length} files: ${parts.join(", ")}`);
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>;
  try {
    given = readArguments();
  } catch (error) {
    console.error(`conformance: ${(error as Error).message.split("\n")[0]}\n${usage}`);
    return 2;
  }
  const [folder, ...more] = given.positionals;
  if (folder === undefined || more.length > 0) {
    console.error(
      `conformance: ${folder === undefined ? "no folder given" : `one folder, not ${more.length + 1}`}\n${usage}`,
    );
    return 2;
  }
  const runtime = await createRuntime({ threads: 1 });
  try {
    const only = given.values.only?.flatMap((names) => names.split(",")).filter((name) => name !== "");
    const table = compareFolder(runtime, folder, only ? { only } : {});
    if (given.values.json)
      // Infinity, a trajectory of ours that is not finite, has no number in JSON.
      console.log(
        JSON.stringify(
          table,
          (_, value) => (value === Number.POSITIVE_INFINITY ? "Infinity" : (value ?? null)),
          2,
        ),
      );
    else print(table);
    return exitCode(table);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    console.error(`conformance: ${error.message}`);
    return 2;
  } finally {
    await runtime.close();
  }
}

const readArguments = () =>
  parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, only: { type: "string", multiple: true } },
  });

process.exitCode = await main();
