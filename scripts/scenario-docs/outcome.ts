/** How what was expected of a row came out, and how far the trials of all rows bear it. */
import { formatSignificant } from "../../src/lab/format.js";
import { bestTrial, type SuiteRecord, type Trial } from "../../src/lab/suite/record.js";
import type { Arrival } from "../../src/lab/suite/results.js";

export type Outcome =
  | { readonly kind: "holds" | "missed" | "open"; readonly text: string }
  /** A method that was expected arrived, after another one. */
  | { readonly kind: "late"; readonly text: string; readonly factor: number };

const code = (name: string) => `\`${name}\``;

/**
 * The best of the expected methods beside the fastest.
 *
 * @param arrived fastest first. @param ran all methods that were measured.
 */
export function outcomeOf(
  expected: readonly string[],
  arrived: readonly Pick<Arrival, "optimizer" | "seconds">[],
  ran: readonly string[],
): Outcome {
  const [fastest] = arrived;
  const names = expected.filter((name) => ran.includes(name));
  if (!fastest || names.length === 0) return { kind: "open", text: "—" };
  const best = arrived.find(({ optimizer }) => names.includes(optimizer));
  if (!best) return { kind: "missed", text: `did not arrive: ${names.map(code).join(", ")}` };
  if (best === fastest) return { kind: "holds", text: `holds: ${code(best.optimizer)} is the fastest` };
  const factor = best.seconds / fastest.seconds;
  return {
    kind: "late",
    factor,
    text:
      factor < 1.05
        ? `${code(best.optimizer)} is within 5 % of ${code(fastest.optimizer)}`
        : `${code(best.optimizer)} takes ${formatSignificant(factor, 2)} times as long as ${code(fastest.optimizer)}`,
  };
}

/** The outcomes of all rows in a sentence. */
export function tally(outcomes: readonly Outcome[]): string {
  const count = (kind: Outcome["kind"]) => outcomes.filter((outcome) => outcome.kind === kind).length;
  const factors = outcomes.flatMap((outcome) => (outcome.kind === "late" ? [outcome.factor] : []));
  const parts = [
    `A method that the text names is the fastest in ${count("holds")} of ${outcomes.length} rows`,
    ...(factors.length > 0
      ? [
          `in ${factors.length} the best of them arrives after another, in ${[...new Set([Math.min(...factors), Math.max(...factors)].map((factor) => formatSignificant(factor, 2)))].join(" to ")} times its seconds`,
        ]
      : []),
    ...(count("missed") > 0 ? [`in ${count("missed")} others arrive and none of them does`] : []),
    ...(count("open") > 0 ? [`${count("open")} decide nothing`] : []),
  ];
  return `${parts.join("; ")}.`;
}

/** What trials beside the first brought, and whether the chosen settings arrive again, in a sentence. */
export function repeated(suites: readonly SuiteRecord[]): string {
  const studies = suites.flatMap(({ trials, finished }) => {
    const groups = new Map<string, Trial[]>();
    for (const trial of trials) {
      if (!finished.some(({ id }) => id === trial.problem)) continue;
      const key = JSON.stringify([trial.problem, trial.optimizer, trial.study]);
      groups.set(key, [...(groups.get(key) ?? []), trial]);
    }
    return [...groups.values()];
  });
  const best = studies.flatMap((trials) => bestTrial(trials) ?? []);
  const own = best.filter(({ trial }) => trial === 0).length;
  const fresh = studies.flat().filter(({ trial, seconds }) => trial === "fresh" && seconds !== null).length;
  return (
    `${best.length} of ${studies.length} studies (of a method on a problem) arrived: in ${own} of them the problem's own settings were the best, in ${best.length - own} a quasi-random point. ` +
    `On a seed that no trial saw, the best settings arrived again in ${fresh} of ${best.length}.`
  );
}
