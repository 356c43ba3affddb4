/** `thalweg compare`: the solutions that several optimizers found, and what lies between them. */
import { join } from "node:path";
import { UsageError } from "../lab/errors.js";
import { quote, replaceFile } from "../lab/files.js";
import { formatSeconds, formatSignificant } from "../lab/format.js";
import {
  type Comparison,
  type ComparisonSettings,
  comparisonRecord,
  readComparisonSettings,
  runComparison,
} from "../lab/generalization/comparison.js";
import { alongLine, decades, spectraOf } from "../lab/generalization/curves.js";
import {
  type Bundle,
  barriersSection,
  bundlesOf,
  groupsOf,
  type Metrics,
  performanceSection,
  sharpnessSection,
} from "../lab/generalization/findings.js";
import { kindsSection, readingOf } from "../lab/generalization/reading.js";
import { comparisonReport } from "../lab/generalization/report.js";
import { findSubjects } from "../lab/generalization/subjects.js";
import type { Problem } from "../lab/problem.js";
import { loadProblem } from "../lab/problems/registry.js";
import type { CompareFlags } from "./flags.js";
import { listenForInterruption } from "./interrupt.js";
import { newFolder, readCount, readEngine, readPositive, refuseWithResume } from "./options.js";
import { showLine } from "./progress.js";
import { openRuntime } from "./setup.js";
import { block, formatSection, formatTable, plain, print, printJson, symbol, wrapText } from "./text.js";

export async function compare(folders: readonly string[], flags: CompareFlags): Promise<void> {
  const { folder, problem, settings } = await prepare(folders, flags);
  const runtime = await openRuntime(settings.engine);
  const interruption = listenForInterruption();
  const progress = showLine();
  let comparison: Comparison;
  try {
    process.stderr.write(plain(`${problem.settings.name}: ${problem.summary}\n`));
    comparison = await runComparison(runtime, problem, folder, settings, {
      signal: interruption.signal,
      onPart: (what, done, total, left) =>
        progress.update(() =>
          [
            `${done + 1}/${total} ${what}`,
            ...(left ? [`${left.least ? "more than" : "about"} ${formatSeconds(left.seconds)} left`] : []),
          ].join(` ${symbol.dot} `),
        ),
    });
  } finally {
    progress.end();
    interruption.dispose();
    await runtime.close();
  }
  const report = join(folder, "report.html");
  const { metrics } = problem;
  replaceFile(
    report,
    comparisonReport(comparison, { problem: problem.summary, metrics, command: commandOf(settings) }),
  );
  if (flags.json) printJson({ ...comparison, report });
  else show(comparison, metrics, report);
  if (interruption.exitCode !== undefined) {
    process.stderr.write(`interrupted; go on with: thalweg compare --resume ${quote(folder)}\n`);
    process.exitCode = interruption.exitCode;
  }
}

async function prepare(
  folders: readonly string[],
  flags: CompareFlags,
): Promise<{ folder: string; problem: Problem; settings: ComparisonSettings }> {
  if (flags.resume !== undefined) {
    if (folders.length > 0)
      throw new UsageError(`"${folders[0]}" is given beside --resume, which goes on with the runs it finds`);
    refuseWithResume(flags, undefined, []);
    const settings = readComparisonSettings(flags.resume);
    return { folder: flags.resume, problem: await loadProblem(settings.problem), settings };
  }
  if (folders.length === 0)
    throw new UsageError("name folders of races or runs of one problem, such as those in thalweg-runs");
  const engine = readEngine(flags);
  const given = {
    seed: readCount("seed", flags.seed, 0) ?? 0,
    top: readCount("top", flags.top) ?? 5,
    radius: readPositive("rho", flags.rho) ?? 0.05,
    adaptiveRadius: readPositive("adaptive-rho", flags.adaptiveRho) ?? 0.5,
    ascent: readCount("ascent", flags.ascent) ?? 10,
    points: readCount("points", flags.points, 2) ?? 21,
  };
  const found = findSubjects(folders);
  for (const { folder, why } of found.leftOut) process.stderr.write(`"${folder}" is left out: ${why}\n`);
  const problem = await loadProblem(found.problem);
  const batch = readCount("batch", flags.batch) ?? problem.defaults.batch;
  const batches = readCount("batches", flags.batches) ?? Math.ceil(1024 / batch);
  const folder = flags.out ?? newFolder(`compare-${problem.settings.name}`);
  comparisonRecord.requireNone(folder);
  return {
    folder,
    problem,
    settings: {
      problem: problem.settings,
      folders: [...folders],
      subjects: [...found.subjects],
      batch,
      batches,
      ...given,
      engine,
    },
  };
}

/** The command that repeats a comparison. */
const commandOf = (settings: ComparisonSettings): string =>
  [
    `thalweg compare ${settings.folders.map(quote).join(" ")}`,
    `--seed ${settings.seed} --batch ${settings.batch} --batches ${settings.batches} --top ${settings.top}`,
    `--rho ${settings.radius} --adaptive-rho ${settings.adaptiveRadius} --ascent ${settings.ascent}`,
    `--points ${settings.points}`,
    ...(settings.engine.backend ? [`--backend ${settings.engine.backend}`] : []),
    ...(settings.engine.threads ? [`--threads ${settings.engine.threads}`] : []),
  ].join(" ");

function show(comparison: Comparison, metrics: Metrics, report: string): void {
  const sections = [performanceSection(comparison, metrics), sharpnessSection(comparison)];
  for (const section of sections) print(`\n${formatSection(section)}`);
  showSpectra(comparison);
  for (const sameStart of [true, false]) showLines(comparison, metrics, sameStart);
  const kinds = kindsSection(comparison, metrics);
  if (kinds.rows.length > 0) print(`\n${formatSection(kinds)}`);
  print("");
  for (const sentence of readingOf(comparison, metrics)) print(plain(wrapText(sentence)));
  print("");
  print(`report: ${report}`);
}

const short = (value: number) => formatSignificant(value, 3);

function showSpectra(comparison: Comparison): void {
  const groups = groupsOf(comparison);
  const spectra = spectraOf(groups, 60);
  if (!spectra) return;
  const { grid, densities } = spectra;
  const highest = Math.max(...densities.map((density) => Math.max(...density)));
  const level = (y: number) => 1 + Math.log10(y / highest) / decades;
  print(
    `\n${plain(`Share of eigenvalues by their value, from ${short(grid[0]!)} to ${short(grid.at(-1)!)}; logarithmic over ${decades} decades`)}`,
  );
  print(
    formatTable(
      [{ title: "optimizer" }, { title: "spectrum" }],
      groups.map(({ label }, g) => [label, Array.from(densities[g]!, (y) => block(level(y))).join("")]),
    ),
  );
}

/** Barriers, each with a picture of the training loss along its line, all to one scale. */
function showLines(comparison: Comparison, metrics: Metrics, sameStart: boolean): void {
  const bundles = bundlesOf(comparison).filter((one) => one.sameStart === sameStart);
  if (bundles.every(({ lines }) => lines.length === 0)) return;
  const curveOf = (bundle: Bundle) => alongLine(bundle, "train", "loss").map(({ y }) => y);
  const highest = Math.max(...bundles.flatMap(curveOf).filter(Number.isFinite), Number.MIN_VALUE);
  const section = barriersSection(comparison, metrics, sameStart);
  print(
    `\n${formatSection({
      ...section,
      columns: [...section.columns, { title: `train loss on the way, to ${short(highest)}` }],
      rows: section.rows.map((row, k) => [
        ...row,
        curveOf(bundles[k]!)
          .map((y) => block(Number.isFinite(y) ? y / highest : 1))
          .join(""),
      ]),
    })}`,
  );
}
