/** `thalweg advise`: which optimizer, why, and what would change the answer. */
import { createInterface } from "node:readline/promises";
import pc from "picocolors";
import { type Advice, advise as adviseOn } from "../advisor/advise.js";
import { describeBytes } from "../advisor/costs.js";
import { findHardware } from "../advisor/hardware.js";
import { measureHardware } from "../advisor/measure.js";
import type { Architecture } from "../advisor/model.js";
import { type Candidate, near } from "../advisor/ranking.js";
import { adviceReport, describeRatio } from "../advisor/report.js";
import { type Evidence, type Situation, tasks } from "../advisor/situation.js";
import { UsageError } from "../lab/errors.js";
import { replaceFile } from "../lab/files.js";
import { formatSeconds } from "../lab/format.js";
import { didYouMean } from "../optimizers/names.js";
import type { Runtime } from "../runtime/runtime.js";
import { describeHardware, describeModel } from "./costs.js";
import type { AdviseFlags } from "./flags.js";
import { isProblem, openModel } from "./model.js";
import { readBytes, readCount, readEngine, readPositive } from "./options.js";
import { named, openRuntime } from "./setup.js";
import { formatTable, plain, print, printJson, say } from "./text.js";

export async function advise(given: string | undefined, flags: AdviseFlags): Promise<void> {
  const { modelText, answered } = await complete(given, flags);
  let opened: Runtime | undefined;
  const runtime = async () => {
    opened ??= await openRuntime(readEngine(flags));
    return opened;
  };
  try {
    const given = readCount("batch", answered.batch);
    const tokens = readCount("tokens", flags.tokens);
    const { model, task, batch, fullBatch } = await openModel(modelText, { batch: given, tokens }, runtime);
    const settled = await situationOf(
      { ...(task && { task }), ...(fullBatch && { fullBatch }), ...answered },
      batch ?? given ?? 64,
      runtime,
    );
    const problem = isProblem(modelText) ? modelText : undefined;
    const advice = withTask(
      adviseOn(model, settled.situation, settled.evidence, problem),
      answered.task === undefined && `task ${settled.situation.task}${task ? ", as the model tells" : ""}`,
    );
    if (flags.report !== undefined) replaceFile(flags.report, adviceReport(model, settled.situation, advice));
    if (flags.json) printJson(jsonOf(model, settled, advice));
    else show(model, settled.situation, advice, flags.report);
  } finally {
    await opened?.close();
  }
}

/** Whatever was not said was assumed. */
const withTask = (advice: Advice, assumed: string | false): Advice =>
  assumed ? { ...advice, assumptions: [`${assumed}; --task names another`, ...advice.assumptions] } : advice;

const jsonOf = (model: Architecture, { situation, evidence }: Settled, advice: Advice) => ({
  model: model.name,
  situation,
  evidence,
  ...advice,
});

interface Settled {
  readonly situation: Situation;
  readonly evidence: Evidence;
}

async function situationOf(
  flags: AdviseFlags,
  batch: number,
  runtime: () => Promise<Runtime>,
): Promise<Settled> {
  const task = oneOf("task", flags.task ?? "other", tasks);
  const precision = oneOf("precision", flags.precision ?? "f32", ["f32", "mixed"] as const);
  const phase = oneOf("phase", flags.phase ?? "early", ["early", "late"] as const);
  const budget = oneOf("budget", flags.budget ?? "moderate", ["limited", "moderate", "unlimited"] as const);
  const expertise = oneOf("expertise", flags.expertise ?? "medium", ["low", "medium", "high"] as const);
  const workers = readCount("workers", flags.workers) ?? 1;
  const memory = readBytes("memory", flags.memory);
  const conditionNumber = readPositive("condition", flags.condition);
  const noiseScale = readPositive("noise", flags.noise);
  const dataSeconds = readPositive("data-seconds", flags.dataSeconds);
  const hardware =
    flags.hardware === "here" ? measureHardware(await runtime()) : findHardware(flags.hardware ?? "a100");
  return {
    situation: {
      batch,
      task,
      phase,
      budget,
      expertise,
      precision,
      workers,
      sharded: flags.sharded,
      hardware,
      memory,
      dataSeconds,
      fullBatch: flags.fullBatch,
      edge: flags.edge,
    },
    evidence: { conditionNumber, noiseScale },
  };
}

function oneOf<const T extends string>(flag: string, given: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === given);
  if (found === undefined)
    throw new UsageError(
      `--${flag} is "${given}"${didYouMean(given, allowed) || `; use ${allowed.join(", ")}`}`,
    );
  return found;
}

/** Asks for what is missing, where there is somebody to ask. */
async function complete(
  given: string | undefined,
  flags: AdviseFlags,
): Promise<{ modelText: string; answered: AdviseFlags }> {
  if (given !== undefined) return { modelText: given, answered: flags };
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new UsageError(
      "no model is given; name one: thalweg advise 784-1000-500-10 --batch 256 --task image-classification",
    );
  const dialog = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const ask = async (question: string, fallback: string) =>
      (await dialog.question(`${question} ${pc.dim(`[${fallback}]`)} `)).trim() || fallback;
    const modelText = await ask("Model (widths, file or problem)", "digits-mlp");
    const task = await ask(`Task (${tasks.join(", ")})`, "other");
    const batch = await ask("Examples in a batch", "64");
    const hardware = await ask("Hardware (h100, a100, rtx4090, m4-max, cpu-2, here)", "here");
    const phase = await ask("Phase (early, late)", "early");
    const expertise = await ask("Experience with second-order methods (low, medium, high)", "medium");
    return {
      modelText,
      answered: { ...flags, task, batch, hardware, phase, expertise },
    };
  } finally {
    dialog.close();
  }
}

function showChanges({ changes }: Advice, title: string): void {
  if (changes.length === 0) return;
  print("");
  print(pc.bold(title));
  for (const { when, method, time } of changes)
    say(`${when}: ${method} (${describeRatio(time)} of Adam's time)`);
}

function show(model: Architecture, situation: Situation, advice: Advice, report: string | undefined): void {
  for (const line of describeModel(model)) say(line);
  say(describeHardware(situation.hardware));
  print("");
  const [first, second, ...rest] = advice.ranked;
  if (!first) {
    print(pc.bold("No method fits"));
    showChanges(advice, "What would make one fit");
    print("");
    print(pc.bold("What is in the way"));
    for (const { method, because } of advice.excluded) say(`${method}: ${because}`);
    return;
  }
  print(pc.bold(`Use ${first.method}`));
  explain(first);
  print(plain(`Begin with -o ${named(first.method, advice.settings)}`));
  if (second) {
    print("");
    print(pc.bold(nextTo(first, second)));
    explain(second);
  }
  print("");
  const right = (title: string) => ({ title, align: "right" as const });
  print(
    formatTable(
      [
        { title: "optimizer" },
        right("time to target"),
        right("steps"),
        right("a step"),
        right("time a step"),
        right("memory"),
        { title: "most of all because" },
      ],
      [first, ...(second ? [second] : []), ...rest]
        .slice(0, 10)
        .map((candidate) => [
          candidate.method,
          describeRatio(candidate.time),
          describeRatio(candidate.steps),
          describeRatio(candidate.step),
          formatSeconds(candidate.costs.seconds.total),
          describeBytes(candidate.costs.memory.total),
          decisive(candidate),
        ]),
    ),
  );
  say("(beside tuned Adam: predictions by rules and counted costs; a race decides)");
  for (const { method, because } of advice.excluded) say(`not ${method}: ${because}`);
  showChanges(advice, "What would change the answer");
  print("");
  print(pc.bold("Assumed"));
  for (const line of advice.assumptions) say(line);
  print("");
  say(`The published procedure says: ${advice.published.summary} (${advice.published.because})`);
  print(plain(`Test it${isProblem(model.name) ? "" : " on the nearest problem here"}: ${advice.test}`));
  if (report !== undefined) print(`report: ${report}`);
}

function nextTo(first: Candidate, { method, time }: Candidate): string {
  const percent = Math.ceil(100 * (time / first.time - 1));
  return time <= near * first.time
    ? `Or ${method}: within ${Math.max(1, percent)} %, which no prediction tells apart`
    : `Next: ${method}`;
}

function explain({ reasons, time, steps, step }: Candidate): void {
  say(
    `about ${describeRatio(time)} the time of tuned Adam: ${describeRatio(steps)} the steps, ${describeRatio(step)} the time of a step`,
  );
  for (const reason of reasons) say(`${reason.fact}: ${reason.rule} ${pc.dim(`(${reason.source})`)}`, "  ");
}

/** The reason that moves the estimate most. */
function decisive({ reasons, step }: Candidate): string {
  const most = reasons.reduce((a, b) => (Math.abs(Math.log(b.steps)) > Math.abs(Math.log(a.steps)) ? b : a));
  return Math.abs(Math.log(step)) > Math.abs(Math.log(most.steps))
    ? `a step takes ${describeRatio(step)} as long`
    : most.source;
}
