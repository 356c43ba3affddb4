/** How a run goes, while it goes: one line that changes in a terminal, a line now and then elsewhere. */
import pc from "picocolors";
import { formatCount, formatMetric, formatSeconds, formatSignificant } from "../lab/format.js";
import type { RunStatus } from "../lab/run.js";
import type { Limits } from "../lab/settings.js";
import { plain, symbol } from "./text.js";

export interface Progress extends Omit<ProgressLine, "update"> {
  update(status: RunStatus): void;
}

/** Milliseconds between two refreshments of a terminal's line, and between two lines elsewhere. */
const [refreshment, report] = [100, 10_000];

/** One line on standard error that changes in a terminal; elsewhere a line now and then. */
export interface ProgressLine {
  /** The text is made only when it is shown. */
  update(text: () => string): void;
  /** A line that stays, above the one that changes. */
  note(line: string): void;
  end(): void;
}

export function showLine(): ProgressLine {
  const live = process.stderr.isTTY === true;
  let shown = live ? Number.NEGATIVE_INFINITY : performance.now();
  const clear = () => {
    if (live) process.stderr.write("\r\x1b[2K");
  };
  return {
    update(text) {
      const now = performance.now();
      if (now - shown < (live ? refreshment : report)) return;
      shown = now;
      const line = plain(text());
      if (live) process.stderr.write(`\r\x1b[2K${cut(line, (process.stderr.columns || 80) - 1)}`);
      else process.stderr.write(`${line}\n`);
    },
    note(line) {
      clear();
      process.stderr.write(`${plain(line)}\n`);
    },
    end: clear,
  };
}

export function showProgress(label: string, limits: Limits): Progress {
  const line = showLine();
  let first: { readonly step: number; readonly seconds: number } | undefined;
  return {
    ...line,
    update(status) {
      first ??= { step: status.step, seconds: status.seconds };
      const rate = (status.step - first.step) / Math.max(status.seconds - first.seconds, 1e-9);
      line.update(() => describe(label, limits, status, rate));
    },
  };
}

function describe(
  label: string,
  limits: Limits,
  { step, loss, last, seconds }: RunStatus,
  rate: number,
): string {
  const metric = limits.target?.metric ?? "accuracy";
  const value = last?.test[metric];
  const left = [
    ...(rate > 0 ? [(limits.steps - step) / rate] : []),
    ...(limits.seconds === undefined ? [] : [limits.seconds - seconds]),
  ];
  return [
    label,
    `step ${formatCount(step)}/${formatCount(limits.steps)}`,
    ...(rate > 0 ? [`${formatSignificant(rate, 3)} steps/s`] : []),
    ...(loss === undefined ? [] : [`loss ${formatSignificant(loss, 3)}`]),
    ...(value === undefined ? [] : [`${metric} ${formatMetric(metric, value)}`]),
    ...(left.length > 0
      ? [`${limits.target ? `${symbol.atMost} ` : ""}${formatSeconds(Math.max(0, Math.min(...left)))} left`]
      : []),
  ].join(` ${symbol.dot} `);
}

const cut = (text: string, width: number) =>
  pc.dim(text.length > width ? `${text.slice(0, Math.max(0, width - 3))}...` : text);
