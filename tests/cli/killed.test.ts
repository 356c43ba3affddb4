import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readRace } from "../../src/lab/race.js";
import { readSuite } from "../../src/lab/suite/record.js";
import { temporaryFolder, writeTable } from "../lab/folder.js";
import { startThalweg, thalweg, thalwegHere } from "./command.js";

const root = temporaryFolder();
writeTable(root);
const table = "table:file=table.csv,target=y,hidden=8";

/** Starts a command and kills it when a file holds so many lines. */
async function killAt(args: readonly string[], path: string, lines: number): Promise<void> {
  const { child, ended } = startThalweg(root, args);
  const count = () => (existsSync(path) ? readFileSync(path, "utf8").split("\n").length - 1 : 0);
  while (child.exitCode === null && count() < lines) await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill("SIGKILL");
  await ended;
}

describe("a race", () => {
  const race = [
    "race",
    table,
    "-o",
    "adam",
    "-o",
    "momentum",
    "--seeds",
    "2",
    "--steps",
    "2000",
    "--target",
    "none",
    "--evaluate-every",
    "20",
  ];
  /** Everything but times. */
  const numbers = (folder: string) =>
    readRace(join(root, folder)).entries.map(({ entry, run }) => [
      entry.label,
      entry.seed,
      run!.measurements.map(({ seconds, phases, ...rest }) => rest),
    ]);
  it("killed at any moment and resumed has the same losses as one that was not", async () => {
    expect(thalweg(root, [...race, "--out", "whole"]).code).toBe(0);
    const expected = numbers("whole");
    // In the first run, and in the third.
    await killAt([...race, "--out", "killed"], join(root, "killed/adam/seed-0/metrics.jsonl"), 10);
    await killAt(["race", "--resume", "killed"], join(root, "killed/adam/seed-1/metrics.jsonl"), 40);
    expect(thalweg(root, ["race", "--resume", "killed"]).code).toBe(0);
    expect(numbers("killed")).toEqual(expected);
  });
});

describe("a suite", () => {
  it("killed at any moment goes on, with every run once and those before untouched", async () => {
    const suite = [
      "suite",
      "--only",
      "digits-mlp",
      "adam",
      "sgd:learningRate=1e-6",
      "--trials",
      "2",
      "--budget",
      "0.1",
      "--out",
      "suite",
    ];
    const trials = join(root, "suite/trials.jsonl");
    await killAt(suite, trials, 1);
    const before = readSuite(join(root, "suite")).trials;
    await killAt(["suite", "--resume", "suite"], trials, 4);
    expect(readSuite(join(root, "suite")).trials.slice(0, before.length)).toEqual(before);
    const { code, stdout } = thalweg(root, ["suite", "--resume", "suite"]);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/place +optimizer +B.*\n.*\n1 +adam|No optimizer|1—2/),
    ]);
    const record = readSuite(join(root, "suite"));
    expect(record.trials.map(({ optimizer, trial }) => `${optimizer} ${trial}`)).toEqual([
      "adam 0",
      "sgd 0",
      "adam 1",
      "sgd 1",
      "adam fresh",
      "sgd fresh",
    ]);
    expect(existsSync(join(root, "suite/report.html"))).toBe(true);
    const again = thalweg(root, suite);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringContaining("already holds a suite; go on with --resume suite"),
    ]);
  });
  it("of nothing that can be measured says what to do", async () => {
    const cases: [string[], number, RegExp][] = [
      [["--only", table], 1, /has no target, and a suite measures the time to one/],
      [["--quick", "--full"], 2, /--quick and --full are given/],
      [["--clock", "cpu"], 2, /--clock cpu is given without --threads 1/],
      [["--clock", "sun", "--threads", "1"], 2, /--clock is "sun"; use wall or cpu/],
      [["--budget", "0.01"], 1, /do not fit into 600 ms/],
    ];
    for (const [args, code, message] of cases) {
      const outcome = await thalwegHere(root, ["suite", ...args]);
      expect([args, outcome.code, outcome.stderr]).toEqual([args, code, expect.stringMatching(message)]);
    }
  });
});
