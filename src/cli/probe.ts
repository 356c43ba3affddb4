/** `thalweg probe`: the curvature and the gradient noise of a problem, at its start or where a run has come to. */
import { writeFileSync } from "node:fs";
import pc from "picocolors";
import type { CurvatureKind } from "../curvature/products.js";
import { UsageError, UserError } from "../lab/errors.js";
import { quote } from "../lab/files.js";
import { formatCount, formatSignificant } from "../lab/format.js";
import { describeEnvironment } from "../lab/machine.js";
import { probe as measure, type Probe } from "../lab/probe.js";
import { curvatureNames, factsOf, layersSection, probeReport } from "../lab/probe-report.js";
import { loadProblem } from "../lab/problems/registry.js";
import { restore } from "../lab/run.js";
import { readArrays, readRun } from "../lab/run-record.js";
import { modelArrays } from "../lab/session.js";
import type { ProblemSettings } from "../lab/settings.js";
import type { ProbeFlags } from "./flags.js";
import { readCount, readEngine, readProblem } from "./options.js";
import { namedProblem, openRuntime, tellPlayers } from "./setup.js";
import { block, formatSection, plain, print, printJson } from "./text.js";

const kinds: readonly CurvatureKind[] = [
  "hessian",
  "gaussNewton",
  "fisher",
  "sampledFisher",
  "empiricalFisher",
];

export async function probe(problemText: string | undefined, flags: ProbeFlags): Promise<void> {
  const kind = (flags.kind ?? "hessian") as CurvatureKind;
  if (!kinds.includes(kind)) throw new UsageError(`--kind is "${kind}"; use ${kinds.join(", ")}`);
  if (flags.run !== undefined && problemText !== undefined)
    throw new UsageError(`"${problemText}" is given beside --run, which probes the problem it finds`);
  const run = flags.run === undefined ? undefined : readRun(flags.run);
  const problem = await loadProblem(run?.settings.problem ?? readProblem(problemText ?? "digits-mlp"));
  const seed = readCount("seed", flags.seed, 0) ?? run?.settings.seed ?? 0;
  // A function of its parameters alone is its own, only example.
  const batch = readCount("batch", flags.batch) ?? Math.max(1, Math.min(256, problem.examples ?? 256));
  const batches = readCount("batches", flags.batches, 2) ?? 4;
  const top = readCount("top", flags.top) ?? 10;
  const runtime = await openRuntime(readEngine(flags));
  try {
    const instance = problem.start(runtime, { seed, batch });
    if (flags.run !== undefined) restore(modelArrays(instance.objective), readArrays(flags.run), flags.run);
    process.stderr.write(plain(`${problem.settings.name}: ${problem.summary}\n`));
    tellPlayers(instance.objective);
    const result = measure(instance, {
      kind,
      batch,
      batches,
      top,
      seed,
      onPart(part) {
        if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${pc.dim(part)}`);
      },
    });
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
    if (flags.out !== undefined)
      writePage(
        flags.out,
        probeReport(result, {
          problem: `${problem.settings.name} (${problem.summary})`,
          place:
            flags.run === undefined ? "at its initial parameters" : `at the last checkpoint of ${flags.run}`,
          command: commandOf(problem.settings, flags),
          environment: describeEnvironment(runtime),
        }),
      );
    if (flags.json) printJson(jsonOf(result));
    else show(result);
    instance.release();
  } finally {
    await runtime.close();
  }
}

/** @throws UserError where the page cannot be written. */
function writePage(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new UserError(`"${file}" cannot be written: ${(error as Error).message}; choose another --out`, {
      cause: error,
    });
  }
  process.stderr.write(`${file} holds the page\n`);
}

const jsonOf = (result: Probe) => ({
  ...result,
  density: {
    nodes: [...result.density.nodes],
    weights: [...result.density.weights],
    grid: [...result.density.grid],
    density: [...result.density.density],
    bandwidth: result.density.bandwidth,
  },
});

const number = (value: number) => formatSignificant(value, 4);

function show(result: Probe): void {
  const lines = factsOf(result);
  const width = Math.max(...lines.map(([name]) => name.length));
  print(pc.bold(plain(`${curvatureNames[result.kind]} of ${formatCount(result.size)} parameters`)));
  for (const [name, value] of lines) print(plain(`${name.padEnd(width)}  ${value}`));
  print("");
  print("Share of eigenvalues by their value (logarithmic)");
  print(picture(result.density.grid, result.density.density));
  print("");
  print(`Largest eigenvalues: ${result.eigenvalues.map(({ value }) => number(value)).join(", ")}`);
  print("");
  print(formatSection(layersSection(result)));
}

/** The command that repeats a probe. */
function commandOf(problem: ProblemSettings, flags: ProbeFlags): string {
  const { run, json: _, ...others } = flags;
  const words = Object.entries(others).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
  const subject = run === undefined ? [namedProblem(problem)] : ["--run", run];
  return ["thalweg", "probe", ...subject, ...words].map(quote).join(" ");
}

const [columns, rows] = [72, 8];

/** A histogram of a density over its grid; each column shows its highest point, over six decades. */
function picture(grid: Float64Array, density: Float64Array): string {
  const heights = Array.from({ length: columns }, (_, column) => {
    const [from, to] = [column, column + 1].map((edge) => Math.floor((edge * grid.length) / columns));
    return Math.max(...density.subarray(from, to));
  });
  const highest = Math.log10(Math.max(...heights));
  const decades = 6;
  const levels = heights.map((height) =>
    height > 0 ? Math.max(0, (Math.log10(height) - highest + decades) / decades) : 0,
  );
  const lines = Array.from({ length: rows }, (_, row) =>
    levels
      .map((level) => block(level * rows - (rows - 1 - row)))
      .join("")
      .trimEnd(),
  );
  const [left, right] = [number(grid[0]!), number(grid.at(-1)!)];
  return [...lines, `${left}${" ".repeat(Math.max(1, columns - left.length - right.length))}${right}`].join(
    "\n",
  );
}
