/**
 * Do optimizers find different solutions? The last parameters of runs of one problem, measured where they lie and along
 * the straight lines between them.
 *
 *     comparison.json    what is compared and how, written first
 *     measured.jsonl     a line for each solution and each pair, as they are done; report.html is made of them
 *
 * A comparison that was interrupted goes on where it was.
 */
import { join } from "node:path";
import * as v from "valibot";
import type { Runtime } from "../../runtime/runtime.js";
import { UserError } from "../errors.js";
import { makeFolder } from "../files.js";
import { folderRecord } from "../folder-record.js";
import { appendLine, readLines } from "../lines.js";
import { whileLocked } from "../lock.js";
import { describeEnvironment, type Environment, environmentSchema } from "../machine.js";
import { count, natural, positive } from "../numbers.js";
import type { Problem } from "../problem.js";
import { readArrays } from "../run-record.js";
import { engineSettingsSchema, problemSettingsSchema } from "../settings.js";
import { type Line, lineSchema, type Solution, solutionSchema } from "./measured.js";
import { digestOf, type Pair, pairsOf, type Subject, subjectSchema } from "./subjects.js";
import { openSurface, type Surface } from "./surface.js";

const comparisonSettingsSchema = v.strictObject({
  problem: problemSettingsSchema,
  /** Of races and runs, as they were named. */
  folders: v.pipe(v.array(v.string()), v.minLength(1)),
  subjects: v.pipe(v.array(subjectSchema), v.minLength(1), v.maxLength(1000)),
  seed: natural,
  batch: count,
  batches: count,
  top: count,
  radius: positive,
  adaptiveRadius: positive,
  ascent: count,
  points: v.pipe(count, v.minValue(2)),
  engine: engineSettingsSchema,
});
export type ComparisonSettings = v.InferOutput<typeof comparisonSettingsSchema>;

/** comparison.json */
export const comparisonRecord = folderRecord("comparison", {
  settings: comparisonSettingsSchema,
  environment: environmentSchema,
});

const measuredSchema = v.variant("kind", [
  v.object({ kind: v.literal("solution"), subject: natural, ...solutionSchema.entries }),
  v.object({ kind: v.literal("line"), from: natural, to: natural, ...lineSchema.entries }),
]);
type Measured = v.InferOutput<typeof measuredSchema>;

export interface Comparison {
  readonly folder: string;
  readonly created: string;
  readonly settings: ComparisonSettings;
  readonly environment: Environment;
  readonly solutions: readonly { readonly subject: Subject; readonly solution: Solution | undefined }[];
  readonly lines: readonly (Pair & { readonly line: Line | undefined })[];
}

/** Estimated seconds until the end; `least` while no line was measured, and only solutions are counted. */
interface Left {
  readonly seconds: number;
  readonly least: boolean;
}

export interface ComparisonOptions {
  readonly signal?: AbortSignal | undefined;
  /** Before each part: what is measured, how many of how many are done, and how long the others may take. */
  readonly onPart?: ((what: string, done: number, total: number, left: Left | undefined) => void) | undefined;
}

export const nameOf = ({ label, seed }: Subject): string => `${label}, seed ${seed}`;

const measuredOf = (folder: string) => join(folder, "measured.jsonl");

/** What a comparison compares and how. @throws UserError when there is none or it is damaged. */
export const readComparisonSettings = (folder: string): ComparisonSettings =>
  comparisonRecord.read(folder).settings;

const readMeasured = (folder: string): Measured[] =>
  readLines(measuredOf(folder), measuredSchema).map(({ line }) => line);

/**
 * A comparison as its folder tells it, whether or not it has ended.
 *
 *     readComparison("compared").solutions[0]!.solution?.eigenvalues[0]
 *
 * @throws UserError when there is none or it is damaged.
 */
export function readComparison(folder: string): Comparison {
  const { created, settings, environment } = comparisonRecord.read(folder);
  const measured = readMeasured(folder);
  return {
    folder,
    created,
    settings,
    environment,
    solutions: settings.subjects.map((subject, k) => ({
      subject,
      solution: measured.find((one) => one.kind === "solution" && one.subject === k) as Solution | undefined,
    })),
    lines: pairsOf(settings.subjects).map((pair) => ({
      ...pair,
      line: measured.find((one) => one.kind === "line" && one.from === pair.from && one.to === pair.to) as
        | Line
        | undefined,
    })),
  };
}

/** Ends the work between two parts. */
class Interrupted extends Error {}

/**
 * Measures all solutions and lines, or what is left of them, in its folder.
 *
 *     const comparison = await runComparison(runtime, problem, "compared", settings);
 *     comparison.solutions[0]!.solution?.eigenvalues[0];
 *
 * @throws UserError when the folder holds something else, or a run is no longer what it was when the comparison began.
 */
export async function runComparison(
  runtime: Runtime,
  problem: Problem,
  folder: string,
  settings: ComparisonSettings,
  options: ComparisonOptions = {},
): Promise<Comparison> {
  // What cannot be measured leaves no folder behind.
  const surface = openSurface(runtime, problem, settings);
  try {
    makeFolder(folder);
    return await whileLocked(folder, () => measureAll(runtime, surface, folder, settings, options));
  } finally {
    surface.release();
  }
}

async function measureAll(
  runtime: Runtime,
  surface: Surface,
  folder: string,
  settings: ComparisonSettings,
  { signal, onPart }: ComparisonOptions,
): Promise<Comparison> {
  if (!comparisonRecord.exists(folder))
    comparisonRecord.begin(folder, { settings, environment: describeEnvironment(runtime) });
  const { subjects } = settings;
  for (const { folder: run, digest } of subjects)
    if (digestOf(readArrays(run)) !== digest)
      throw new UserError(
        `"${run}" has gone on since the comparison in "${folder}" began; begin another one with --out`,
      );
  const { solutions, lines } = readComparison(folder);
  const total = solutions.length + lines.length;
  const left = {
    solution: solutions.filter(({ solution }) => !solution).length,
    line: lines.filter(({ line }) => !line).length,
  };
  /** Seconds and number of those of each kind that were measured here. */
  const spent = { solution: [0, 0], line: [0, 0] };
  const timeLeft = (): Left | undefined => {
    const of = (kind: Measured["kind"]) =>
      left[kind] === 0 ? 0 : (left[kind] * spent[kind][0]!) / spent[kind][1]!;
    const [solution, line] = [of("solution"), of("line")];
    if (Number.isNaN(solution)) return undefined;
    return Number.isNaN(line)
      ? { seconds: solution, least: true }
      : { seconds: solution + line, least: false };
  };
  const work = async (kind: Measured["kind"], what: string, measure: Parts) => {
    const began = performance.now();
    const done = total - left.solution - left.line;
    const one = await measure(async (part) => {
      onPart?.(`${what}: ${part}`, done, total, timeLeft());
      // Signals arrive only while nothing is computed.
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw new Interrupted();
    });
    appendLine(measuredOf(folder), one);
    left[kind]--;
    spent[kind][0]! += (performance.now() - began) / 1000;
    spent[kind][1]!++;
  };
  try {
    for (const [k, { subject, solution }] of solutions.entries())
      if (!solution)
        await work("solution", nameOf(subject), async (part) => ({
          kind: "solution",
          subject: k,
          ...(await surface.measure(surface.read(subject.folder), surface.start(subject.seed), part)),
        }));
    for (const { from, to, sameStart, line } of lines)
      if (!line) {
        const [a, b] = [subjects[from]!, subjects[to]!];
        await work("line", `${nameOf(a)} to ${nameOf(b)}`, async (part) => ({
          kind: "line",
          from,
          to,
          ...(await surface.line(
            surface.read(a.folder),
            surface.read(b.folder),
            sameStart ? surface.start(a.seed) : undefined,
            part,
          )),
        }));
      }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
  }
  return readComparison(folder);
}

type Parts = (onPart: (part: string) => Promise<void>) => Promise<Measured>;
