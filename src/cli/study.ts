/** `thalweg study`: one question, its points measured one by one, and what they say. */
import pc from "picocolors";
import { UsageError } from "../lab/errors.js";
import { quote } from "../lab/files.js";
import { formatCount, formatSeconds } from "../lab/format.js";
import { findStudy, studies } from "../lab/studies/registry.js";
import { studyData, verdictText, writeStudy } from "../lab/studies/report.js";
import {
  readStudySettings,
  runStudy,
  type StudyRecord,
  type StudySettings,
  studyRecord,
} from "../lab/studies/run-study.js";
import type { Study, Task } from "../lab/studies/study.js";
import type { StudyFlags } from "./flags.js";
import { listenForInterruption } from "./interrupt.js";
import { newFolder, readClock, readCount, readEngine, refuseWithResume } from "./options.js";
import { drawPlot } from "./plot.js";
import { showLine } from "./progress.js";
import { openRuntime, tellOtherMachine } from "./setup.js";
import { formatSection, formatTable, lineWidth, plain, print, printJson, symbol, wrapText } from "./text.js";

export async function study(name: string | undefined, flags: StudyFlags): Promise<void> {
  if (name === undefined && flags.resume === undefined) {
    listStudies(flags);
    return;
  }
  const { folder, settings } = prepare(name, flags);
  const definition = findStudy(settings.study);
  const runtime = await openRuntime(settings.engine);
  const interruption = listenForInterruption();
  const line = showLine();
  let record: StudyRecord;
  try {
    line.note(definition.question);
    record = await runStudy(runtime, folder, definition, settings, {
      signal: interruption.signal,
      ...watching(definition, settings, line),
    });
  } finally {
    line.end();
    interruption.dispose();
    await runtime.close();
  }
  const command = commandOf(settings);
  const report = writeStudy(record, command);
  if (flags.json) printJson({ ...studyData(record, command), folder, report });
  else show(record, report);
  if (interruption.exitCode !== undefined) {
    process.stderr.write(`interrupted; go on with: thalweg study --resume ${quote(folder)}\n`);
    process.exitCode = interruption.exitCode;
  }
}

/** Progress as it goes: what is measured, and the time that is left at the pace so far. */
function watching(definition: Study, settings: StudySettings, line: ReturnType<typeof showLine>) {
  const tasks = definition.tasks(settings.extent);
  const began = performance.now();
  /** Of this session. */
  let expected = 0;
  let [index, left] = [0, 0];
  const remaining = () => {
    const pace = expected > 0 ? (performance.now() - began) / 1000 / expected : 1;
    return `about ${formatSeconds(left * pace)} left`;
  };
  const where = (task: Task) => `${index + 1}/${tasks.length} ${task.id}`;
  return {
    onStart(task: Task, at: number) {
      index = at;
      left = tasks.slice(at).reduce((sum, { seconds }) => sum + seconds, 0);
      line.update(() => `${where(task)} ${symbol.dot} ${remaining()}`);
    },
    onProgress: (task: Task, { step }: { readonly step: number }) =>
      line.update(() => [where(task), `step ${formatCount(step)}`, remaining()].join(` ${symbol.dot} `)),
    onEnd(task: Task) {
      expected += task.seconds;
      left -= task.seconds;
    },
  };
}

function prepare(name: string | undefined, flags: StudyFlags): { folder: string; settings: StudySettings } {
  if (flags.resume !== undefined) {
    refuseWithResume(flags, name, []);
    tellOtherMachine(flags.resume, studyRecord.read(flags.resume).environment);
    return { folder: flags.resume, settings: readStudySettings(flags.resume) };
  }
  const { name: known } = findStudy(name!);
  const folder = flags.out ?? newFolder(`study-${known}`);
  studyRecord.requireNone(folder);
  return {
    folder,
    settings: {
      study: known,
      extent: flags.quick ? "quick" : "full",
      seed: readCount("seed", flags.seed, 0) ?? 0,
      engine: { ...readEngine(flags), ...readClock(flags) },
    },
  };
}

function listStudies({ json, ...flags }: StudyFlags): void {
  const [given] = Object.keys(flags);
  if (given !== undefined)
    throw new UsageError(
      `--${given} is given without a study; name one of ${studies.map(({ name }) => name).join(", ")}`,
    );
  if (json) {
    printJson(
      studies.map(({ name, title, question, expectation, method, columns }) => ({
        name,
        title,
        question,
        expectation,
        method,
        columns,
      })),
    );
    return;
  }
  const rows = studies.map(({ name, question }) => [name, question]);
  print(`${formatTable([{ title: "study" }, { title: "question" }], rows)}\n`);
  print(
    "Run one: thalweg study <name> [--quick]. It prints a table, a figure and what they say, and writes a page.",
  );
}

/** The command that repeats a study. */
export function commandOf({ study: name, extent, seed, engine }: StudySettings): string {
  return [
    `thalweg study ${name}`,
    ...(extent === "quick" ? ["--quick"] : []),
    `--seed ${seed}`,
    ...(engine.clock ? [`--clock ${engine.clock}`] : []),
    ...(engine.backend ? [`--backend ${engine.backend}`] : []),
    ...(engine.threads ? [`--threads ${engine.threads}`] : []),
  ].join(" ");
}

function show(record: StudyRecord, report: string): void {
  const { study: definition, reading, points, left } = record;
  print("");
  print(pc.bold(plain(definition.title)));
  print(plain(definition.question));
  print("");
  if (points.length > 0) {
    for (const section of reading.sections) if (section.rows.length > 0) print(`${formatSection(section)}\n`);
    for (const figure of reading.figures)
      print(`${drawPlot(figure, Math.max(20, Math.min(64, lineWidth() - 14)))}\n`);
  }
  print(plain(wrapText(`Expected: ${definition.expectation.text} (${definition.expectation.source})`)));
  print("");
  print(plain(wrapText(`Read: ${reading.paragraph}`)));
  print("");
  print(`The expectation: ${pc.bold(verdictText(record))}`);
  if (left > 0) print(`${left} points are left`);
  print(`report: ${report}`);
}
