/**
 * The account of a run in the manner of Ceres' full report, as tables: options given and used, which parameters were
 * treated how, where the time went, what was evaluated, and what the steps told. The terminal and the page show the same.
 */
import type { Coverage } from "../optimizers/optimizer.js";
import { formatBytes, formatCount, formatSeconds, formatSignificant } from "./format.js";
import type { RunRecord } from "./run-record.js";
import { median } from "./score.js";
import { type Phase, phases, type Summary } from "./tally.js";

export interface Section {
  readonly title: string;
  readonly columns: readonly { readonly title: string; readonly align?: "left" | "right" }[];
  readonly rows: readonly (readonly string[])[];
}

const right = "right" as const;
const number = (value: number) => formatSignificant(value, 4);

/** Which parameters an optimizer treats how; undefined where it treats all alike. */
export function coverageSection(
  optimizer: string,
  coverage: readonly Coverage[] | undefined,
): Section | undefined {
  if (!coverage) return undefined;
  const bytes = coverage.reduce((sum, row) => sum + row.bytes, 0);
  return {
    title: `What ${optimizer} treats how: ${formatBytes(bytes)} beside vectors as long as θ`,
    columns: [
      { title: "layer" },
      { title: "parameters", align: right },
      { title: "curvature" },
      { title: "orders", align: right },
      { title: "memory", align: right },
      { title: "why" },
    ],
    rows: coverage.map((row) => [
      row.name,
      formatCount(row.size),
      row.treatment,
      row.orders.length > 0 ? row.orders.join(" × ") : "—",
      formatBytes(row.bytes),
      row.reason,
    ]),
  };
}

/** What is known of a run that has ended, beside its coverage; empty sections are left out. */
export function accountOf({ settings, result }: RunRecord): readonly Section[] {
  if (!result) return [];
  const { optimizer } = settings;
  const { summary, evaluations, steps } = result;
  const sections: Section[] = [
    optionsSection(optimizer, result.settings ?? optimizer.settings),
    ...(summary ? [timeSection(summary, steps)] : []),
    {
      title: "Evaluations",
      columns: [{ title: "question" }, { title: "number", align: right }, { title: "a step", align: right }],
      rows: Object.entries(evaluations).map(([question, count]) => [
        question,
        formatCount(count),
        number(count / Math.max(1, steps)),
      ]),
    },
    ...(summary ? [numbersSection(summary), wordsSection(summary)] : []),
  ];
  return sections.filter(({ rows }) => rows.length > 0);
}

const optionsSection = (
  { name, settings: given }: RunRecord["settings"]["optimizer"],
  used: Readonly<Record<string, unknown>>,
): Section => ({
  title: `Options of ${name}`,
  columns: [{ title: "option" }, { title: "used" }, { title: "given" }],
  rows: Object.entries(used).map(([option, value]) => [
    option,
    String(value),
    Object.hasOwn(given, option) ? String(given[option]) : "—",
  ]),
});

/** The phases that took time, in their order. */
const phasesIn = (records: readonly Readonly<Record<string, number>>[]): Phase[] =>
  (Object.keys(phases) as Phase[]).filter((phase) => records.some((record) => (record[phase] ?? 0) > 0));

const share = (part: number, whole: number) => `${(whole > 0 ? (100 * part) / whole : 0).toFixed(1)} %`;

function timeSection({ phases: spent }: Summary, steps: number): Section {
  const total = Object.values(spent).reduce((a, b) => a + b, 0);
  const once = new Set<Phase>(["compile", "test", "files"]);
  return {
    title: `Time: ${formatSeconds(total)} in all`,
    columns: [
      { title: "phase" },
      { title: "time", align: right },
      { title: "share", align: right },
      { title: "a step", align: right },
      { title: "what" },
    ],
    rows: phasesIn([spent]).map((phase) => [
      phase,
      formatSeconds(spent[phase]!),
      share(spent[phase]!, total),
      once.has(phase) ? "—" : formatSeconds(spent[phase]! / Math.max(1, steps)),
      phases[phase],
    ]),
  };
}

const numbersSection = ({ numbers }: Summary): Section => ({
  title: "What the steps told",
  columns: [
    { title: "number" },
    ...["least", "median", "most", "last", "steps"].map((title) => ({ title, align: right })),
  ],
  rows: Object.entries(numbers).map(([name, { least, median: middle, most, last, count }]) => [
    name,
    ...[least, middle, most, last].map(number),
    formatCount(count),
  ]),
});

const wordsSection = ({ words }: Summary): Section => ({
  title: "What happened in how many steps",
  columns: [{ title: "what" }, { title: "in steps" }],
  rows: Object.entries(words).map(([name, values]) => [
    name,
    Object.entries(values)
      .sort(([, a], [, b]) => b - a)
      .map(([value, count]) => `${value} ${formatCount(count)}`)
      .join(", "),
  ]),
});

/** Median seconds by phase of the runs of one optimizer. */
export interface TimeSplit {
  readonly label: string;
  readonly phases: Readonly<Partial<Record<Phase, number>>>;
  readonly total: number;
}

/** Of those optimizers that have a run that told. */
export function timeSplits(
  groups: readonly { readonly label: string; readonly runs: readonly RunRecord[] }[],
): readonly TimeSplit[] {
  return groups.flatMap(({ label, runs }) => {
    const told = runs.flatMap(({ result }) => (result?.summary ? [result.summary.phases] : []));
    if (told.length === 0) return [];
    const middle = phasesIn(told).map(
      (phase) => [phase, median(told.map((one) => one[phase] ?? 0))] as const,
    );
    return [
      { label, phases: Object.fromEntries(middle), total: middle.reduce((sum, [, time]) => sum + time, 0) },
    ];
  });
}

/** The split as a table: shares by phase. */
export function splitSection(splits: readonly TimeSplit[]): Section {
  const shown = phasesIn(splits.map((split) => split.phases));
  return {
    title: "Where the time of a run went, medians over seeds",
    columns: [{ title: "optimizer" }, ...["time", ...shown].map((title) => ({ title, align: right }))],
    rows: splits.map((split) => [
      split.label,
      formatSeconds(split.total),
      ...shown.map((phase) => share(split.phases[phase] ?? 0, split.total)),
    ]),
  };
}
