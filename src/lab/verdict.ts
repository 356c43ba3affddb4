/** A race in a sentence: who won, by how much, and whether other seeds may say otherwise. */
import { formatMetric, formatSeconds, formatSignificant } from "./format.js";
import type { RaceRecord } from "./race.js";
import { qualityOf, type Score } from "./score.js";
import type { Target } from "./settings.js";

/** "test loss"; a metric of the training data is named so by itself. */
export const describeMetric = (metric: string) => (/^training[A-Z]/.test(metric) ? metric : `test ${metric}`);
export const describeTarget = ({ metric, value }: Target): string =>
  `${describeMetric(metric)} ${formatMetric(metric, value)}`;

/** Also of a race that is not finished. */
export function verdictOf({ scores, settings: { limits } }: Pick<RaceRecord, "scores" | "settings">): string {
  const { target } = limits;
  const metric = describeMetric(qualityOf(limits).metric);
  const [first, second] = scores;
  const won = first && first.reached > 0 && Number.isFinite(first.seconds.median);
  const runs = first ? `${first.runs} ${first.runs === 1 ? "run" : "runs"}` : "";
  return [
    won && target
      ? `${first.label} reached ${describeTarget(target)} first, in ${formatSeconds(first.seconds.median)} of training (median of ${runs}).`
      : target
        ? `No optimizer reached ${describeTarget(target)} on most seeds.`
        : first && Number.isFinite(first.best)
          ? `No target was set. ${first.label} came to the best ${metric}, ${formatMetric(qualityOf(limits).metric, first.best)} (median of ${runs}).`
          : "No target was set.",
    ...(won && second ? [leadOf(first, second)] : []),
    ...(scores.some(({ unfinished }) => unfinished > 0)
      ? ["The race is not finished: what follows is what was recorded so far."]
      : []),
  ].join(" ");
}

function leadOf(first: Score, second: Score): string {
  if (!Number.isFinite(second.seconds.median)) return "No other reached it on most seeds.";
  if (first.seconds.median === 0)
    return "The start meets the target already: it tells no optimizers apart; choose a harder one with --target.";
  const times = second.seconds.median / first.seconds.median;
  const lead = `${second.label} took ${formatSignificant(times, 3)} times as long`;
  if (first.runs < 2) return `${lead}, on one seed: others may give another order.`;
  // Of a seed that the winner missed the range does not tell.
  return first.reached === first.runs && first.seconds.high < second.seconds.low
    ? `${lead}, on every seed longer than ${first.label} on any.`
    : `${lead}, but their ranges over seeds overlap: the order is not certain.`;
}
