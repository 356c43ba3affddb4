import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder, writeTable } from "../lab/folder.js";
import { startThalweg, thalweg } from "./command.js";

const root = temporaryFolder();
const table = "table:file=table.csv,target=y,hidden=8";
const optimizers = ["-o", "adam", "-o", "kfac"];
beforeAll(() => {
  writeTable(root);
  const race = ["race", table, ...optimizers, "--seeds", "2", "--steps", "100", "--out", "race"];
  expect(thalweg(root, race).code).toBe(0);
});

describe("thalweg compare", () => {
  it("shows solutions, spectra and lines, as tables with pictures and as a page", () => {
    const args = ["compare", "race", "--batch", "16", "--batches", "2", "--points", "7"];
    const { code, stdout, stderr } = thalweg(root, [...args, "--out", "compared"]);
    expect([code, stderr.includes("error")]).toEqual([0, false]);
    const solutions =
      /optimizer +runs +batch +steps +train loss +test loss +gap\n.*\nadam +2 +\d+ +100 .*\nkfac +2 /;
    expect(stdout).toMatch(solutions);
    expect(stdout).toMatch(/optimizer +λ₁ +λ min +trace +SAM ρ=0.05 +10 steps +adaptive ρ=0.5/);
    expect(stdout).toMatch(/\nadam +[ ▁▂▃▄▅▆▇█]+█/);
    // One line a seed between the two of one start, each with a picture.
    expect(stdout).toMatch(/\nadam +kfac +2( +\S+){5} +[ ▁▂▃▄▅▆▇█]{1,7}\n/);
    expect(stdout).toMatch(/\nkfac +kfac +1 /);
    expect(stdout).toMatch(/first order to second order +one /);
    expect(stdout.trim().split("\n").at(-1)).toBe("report: compared/report.html");

    const page = readFileSync(join(root, "compared", "report.html"), "utf8");
    for (const text of ["Sharpness", "Spectra", "different starts", "solutions.csv", "points.json"])
      expect(page).toContain(text);
    // Two spectra; the loss on training data, aligned, and on test data along lines of one start and of different ones.
    expect(page.match(/<svg viewBox/g)).toHaveLength(8);
    expect(page).not.toMatch(/(src|href)="(?!data:|#)/);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
    for (const media of ["prefers-color-scheme:dark", "@media print", "width=device-width"])
      expect(page).toContain(media);
    // What the page says to type is understood, and measures the same.
    const [, command] = /<pre><code>thalweg (compare .*?)<\/code>/.exec(page)!;
    const again = thalweg(root, [...command!.split(" "), "--out", "again", "--json"]);
    const record = (folder: string) => readFileSync(join(root, folder, "measured.jsonl"), "utf8");
    expect(record("again")).toBe(record("compared"));
    const json = JSON.parse(again.stdout);
    expect(json.solutions).toHaveLength(4);
    expect(json.lines[0].line.points).toHaveLength(7);
  });
  it("interrupted keeps what was measured, says how to go on, and goes on", async () => {
    const args = [
      "compare",
      "race",
      "--batch",
      "4",
      "--batches",
      "12",
      "--points",
      "1000",
      "--out",
      "halted",
    ];
    const { child, ended } = startThalweg(root, args);
    const measured = join(root, "halted", "measured.jsonl");
    while (!existsSync(measured) && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect(code).toBe(130);
    expect(stderr).toContain("interrupted; go on with: thalweg compare --resume halted");
    const before = readFileSync(measured, "utf8");
    expect(readFileSync(join(root, "halted", "report.html"), "utf8")).toContain(
      "The comparison is not finished",
    );
    const resumed = thalweg(root, ["compare", "--resume", "halted"]);
    expect(resumed.code).toBe(0);
    const after = readFileSync(measured, "utf8");
    expect(after.startsWith(before)).toBe(true);
    // Four solutions, two lines of one start and three of different ones.
    expect(after.trim().split("\n")).toHaveLength(9);
  });
  it("refuses runs of different problems, naming the difference", () => {
    const train = (problem: string, out: string) =>
      thalweg(root, ["train", problem, "--steps", "2", "--out", out]);
    expect(train("table:file=table.csv,target=y,hidden=16", "wide").code).toBe(0);
    const { code, stderr } = thalweg(root, ["compare", "race", "wide"]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'error: "race/adam/seed-0" is of table with hidden=8, "wide" of table with hidden=16; compare runs of one problem',
    );
  });
});
