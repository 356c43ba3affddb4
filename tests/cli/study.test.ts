import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { drawPlot } from "../../src/cli/plot.js";
import { type Chart, drawChart } from "../../src/lab/chart.js";
import { temporaryFolder } from "../lab/folder.js";
import { startThalweg, thalweg, thalwegHere } from "./command.js";

const root = temporaryFolder();

describe("thalweg study", () => {
  it("alone lists the studies with their questions", async () => {
    const { code, stdout } = await thalwegHere(root, ["study"]);
    expect(code).toBe(0);
    for (const name of ["condition", "batch", "staleness", "inversion", "damping", "switch"])
      expect(stdout).toMatch(new RegExp(`^${name} +\\S.*\\?$`, "m"));
    const listed = JSON.parse((await thalwegHere(root, ["study", "--json"])).stdout);
    expect(listed[0]).toMatchObject({ name: "condition", expectation: { source: expect.any(String) } });
  });
  it("stops at Ctrl-C, reads what it has, and says how to go on", async () => {
    const { child, ended } = startThalweg(root, ["study", "condition", "--quick", "--out", "stopped"]);
    const points = join(root, "stopped/points.jsonl");
    const count = () => (existsSync(points) ? readFileSync(points, "utf8").split("\n").length - 1 : 0);
    while (child.exitCode === null && count() < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(130);
    expect(stdout).toMatch(/The expectation: .* \(from \d+ of 20 points\)/);
    expect(stdout).toContain("Expected: Gradient descent needs iterations in proportion to κ");
    expect(stderr).toContain("go on with: thalweg study --resume stopped");
    expect(existsSync(join(root, "stopped/lock"))).toBe(false);
    const csv = readFileSync(join(root, "stopped/data.csv"), "utf8").trimEnd().split("\r\n");
    expect([csv[0], csv.length]).toEqual(["method,condition,iterations,bound", 1 + count()]);
    expect(readFileSync(join(root, "stopped/report.html"), "utf8")).toMatch(/^<!doctype html>/);
    const again = thalweg(root, ["study", "batch", "--out", "stopped"]);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringContaining('"stopped" already holds a study; go on with --resume stopped'),
    ]);
    // Begun elsewhere, it tells whose times it has.
    const file = join(root, "stopped/study.json");
    const record = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(
      file,
      JSON.stringify({ ...record, environment: { ...record.environment, processor: "another" } }),
    );
    const resumed = await thalwegHere(root, ["study", "--resume", "stopped"]);
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toContain("stopped was begun on another, Node");
    expect(resumed.stdout).not.toContain("of 20 points");
  });
});

describe("a chart with logarithmic axes", () => {
  const points = [1, 10, 100, 1000, 10_000].map((x) => ({
    x,
    y: 5 * x ** 2,
    low: 5 * x ** 2,
    high: 5 * x ** 2,
  }));
  const chart: Chart = {
    id: "square",
    title: "y = 5x²",
    description: "",
    xLabel: "x",
    yLabel: "y",
    xScale: "log",
    yScale: "log",
    xFormat: String,
    yFormat: (value) => value.toExponential(0),
    marked: true,
    series: [{ label: "square", colour: 1, points: [{ x: 0, y: 1, low: 1, high: 1 }, ...points] }],
  };
  it("draws a power law as a straight line, with a mark at every point that has a logarithm", () => {
    const svg = drawChart(chart);
    const marks = [...svg.matchAll(/<circle class="end" cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    expect(marks).toHaveLength(5);
    const [dx, dy] = [marks[1]![0]! - marks[0]![0]!, marks[1]![1]! - marks[0]![1]!];
    marks.forEach(([x, y], k) => {
      expect(Math.abs(x! - (marks[0]![0]! + k * dx))).toBeLessThan(0.3);
      expect(Math.abs(y! - (marks[0]![1]! + k * dy))).toBeLessThan(0.3);
    });
    expect([dx > 0, dy < 0]).toEqual([true, true]);
    expect(svg).toContain(">10000</text>");
  });
  it("is the same in characters", () => {
    const text = stripVTControlCharacters(drawPlot(chart, 41, 9));
    const lines = text.split("\n");
    const field = lines.slice(1, 10).map((line) => line.slice(line.search(/[│|]/) + 1));
    // Five marks, ten columns and two rows apart, from the lower left to the upper right.
    expect(field.map((line) => line.indexOf("o"))).toEqual([40, -1, 30, -1, 20, -1, 10, -1, 0]);
    expect(lines.at(-3)!.trim().split(/ +/)).toEqual(["1", "10", "100", "1000", "10000"]);
    expect(lines.at(-1)).toBe("o square");
    expect(drawPlot({ ...chart, series: [] })).toContain("nothing was measured");
  });
});
