/** Numbers for people. */

/** 1234567 → "1,234,567"; what was not counted, "—". */
export const formatCount = (value: number): string =>
  Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "—";

/** 0.0421 → "42.1 ms", 3.21 → "3.21 s", 75 → "1 min 15 s", 4000 → "1 h 07 min", 1e6 → "11.6 days", 1e9 → "31.7 years". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "—";
  if (seconds < 0.9995) return `${formatSignificant(seconds * 1000, 3)} ms`;
  if (seconds < 59.95) return `${formatSignificant(seconds, 3)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const days = seconds / 86_400;
  if (days >= 730) return `${formatSignificant(days / 365.25, 3)} years`;
  if (days >= 3) return `${formatSignificant(days, 3)} days`;
  const minutes = Math.round(seconds / 60);
  return `${formatCount(Math.floor(minutes / 60))} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A number with so many significant digits, without an exponent where it can be read without one. */
export function formatSignificant(value: number, digits: number): string {
  if (!Number.isFinite(value)) return String(value);
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e7))
    return value.toExponential(digits - 1).replace(/\.?0*e/, "e");
  if (magnitude >= 10 ** digits) return String(Math.round(value));
  return String(Number(value.toPrecision(digits)));
}

export const formatBytes = (bytes: number): string => {
  if (bytes >= 2 ** 30) return `${formatSignificant(bytes / 2 ** 30, 3)} GiB`;
  if (bytes >= 2 ** 20) return `${formatSignificant(bytes / 2 ** 20, 3)} MiB`;
  return bytes >= 1024 ? `${formatSignificant(bytes / 1024, 3)} KiB` : `${bytes} B`;
};

/** A metric by its name: accuracies as percentages, the rest with four digits. */
export function formatMetric(name: string, value: number): string {
  if (name === "accuracy") return `${(100 * value).toFixed(2).replace(/\.?0+$/, "")} %`;
  return formatSignificant(value, 4);
}

/** 1 step, 2 steps. */
export const plural = (count: number, word: string): string =>
  `${formatCount(count)} ${word}${count === 1 ? "" : "s"}`;
