/** What went wrong, in one line, and the exit code. */
import pc from "picocolors";

export const exitCodes = { failure: 1, usage: 2, interrupted: 130, terminated: 143 } as const;

/** Errors that are sentences for the user; anything else is a defect of this program. */
const sentences = new Set([
  "UserError",
  "SettingsError",
  "DataError",
  "ShapeError",
  "RuntimeError",
  "AdvisorError",
]);

export function fail(error: unknown, debug: boolean): void {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const expected = name === "UsageError" || sentences.has(name);
  // The line of user code that made a tensor is this program's own here.
  const text = message.split("\n")[0]!.replace(/ \(at [^()]*\)$/, "");
  process.stderr.write(`${pc.red("error:")} ${expected ? text : `${name}: ${text}`}\n`);
  if (debug) process.stderr.write(`${stack}\n`);
  else if (!expected)
    process.stderr.write(
      "This is a defect; please report it with the output of the same command and --debug.\n",
    );
  process.exitCode = name === "UsageError" ? exitCodes.usage : exitCodes.failure;
}
