/** `thalweg recommend`: the published decision procedure, word for word. */
import pc from "picocolors";
import { type Question, recommendOptimizer } from "../advisor/recommend.js";
import { UsageError } from "../lab/errors.js";
import { didYouMean } from "../optimizers/names.js";
import type { RecommendFlags } from "./flags.js";
import { readCount } from "./options.js";
import { print, printJson, say } from "./text.js";

/** What the procedure tells apart. It takes any other text too, and goes on to its next case. */
const known = {
  problem: [
    "vision",
    "sequence_modeling",
    "language_modeling",
    "reinforcement_learning",
    "scientific_computing",
    "pde_solving",
    "other",
  ],
  phase: ["early_training", "late_training", "fine_tuning", "rnn"],
  budget: ["limited", "moderate", "unlimited"],
  expertise: ["low", "medium", "high"],
} as const satisfies Partial<Record<keyof RecommendFlags, readonly Question[keyof Question][]>>;

export async function recommend(flags: RecommendFlags): Promise<void> {
  const need = (flag: "parameters" | "batch") => {
    if (flags[flag] === undefined)
      throw new UsageError(`--${flag} is missing; thalweg recommend --help lists all`);
    return readCount(flag, flags[flag])!;
  };
  const answer = recommendOptimizer({
    numParameters: need("parameters"),
    batchSize: need("batch"),
    problemType: flags.problem ?? "other",
    trainingPhase: flags.phase ?? "late_training",
    computationalBudget: flags.budget ?? "limited",
    implementationExpertise: flags.expertise ?? "medium",
  });
  for (const flag of ["problem", "phase", "budget", "expertise"] as const) noteUnknown(flag, flags[flag]);
  if (flags.json) printJson(answer);
  else {
    print(pc.bold(answer.summary));
    say(`because: ${answer.because}`);
  }
}

function noteUnknown(flag: keyof typeof known, given: string | undefined): void {
  const values: readonly string[] = known[flag];
  if (given === undefined || values.includes(given) || (flag === "phase" && /rnn/i.test(given))) return;
  process.stderr.write(
    `note: --${flag} "${given}" is nothing that the procedure tells apart${didYouMean(given, values) || `; it knows ${values.join(", ")}`}\n`,
  );
}
