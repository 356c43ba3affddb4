import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { csvOf } from "../../src/lab/page.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { labelsOf, type RaceSettings, readRace, runRace } from "../../src/lab/race.js";
import { raceReport } from "../../src/lab/report.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "./folder.js";

const root = temporaryFolder();
const table = writeTable(root);
const runtime = await createRuntime({ threads: 1 });
const problem = openProblem({ name: "table", options: { file: table, target: "y", hidden: "8" } });
const settings: RaceSettings = {
  problem: problem.settings,
  optimizers: [
    { name: "adam", settings: { learningRate: 0.02 } },
    { name: "sgd", settings: { learningRate: 1e20 } },
    { name: "sgd", settings: { learningRate: 1e-7 } },
  ],
  seeds: [0, 1],
  batch: 16,
  limits: { steps: 300, target: { metric: "loss", value: 0.2, goal: "min" } },
  evaluateEvery: 10,
  engine: {},
};

describe("a race", () => {
  const folder = join(root, "race");
  it("runs every optimizer on every seed, and ranks what arrived, what did not and what diverged", async () => {
    const order: string[] = [];
    const race = await runRace(runtime, problem, folder, settings, {
      onStart: ({ label, seed }) => order.push(`${label} ${seed}`),
    });
    expect(order.slice(0, 3)).toEqual([
      "adam 0",
      "sgd(learningRate=100000000000000000000) 0",
      "sgd(learningRate=1e-7) 0",
    ]);
    expect(
      race.scores.map(({ label, reached, missed, diverged }) => [label, reached, missed, diverged]),
    ).toEqual([
      ["adam", 2, 0, 0],
      ["sgd(learningRate=1e-7)", 0, 2, 0],
      ["sgd(learningRate=100000000000000000000)", 0, 0, 2],
    ]);
    expect(race.scores[0]!.steps.median).toBe(race.scores[0]!.gradients.median);
    expect(JSON.parse(readFileSync(join(folder, "scores.json"), "utf8"))).toHaveLength(3);
  });
  it("repeated with the same seeds has the same losses", async () => {
    const again = await runRace(runtime, problem, join(root, "again"), settings);
    const numbers = (race: typeof again) =>
      race.entries.map(({ run }) => run!.measurements.map(({ seconds, phases, ...rest }) => rest));
    expect(numbers(again)).toEqual(numbers(readRace(folder)));
  });
  it("that ran already only tells what it found", async () => {
    const before = readRace(folder);
    const again = await runRace(runtime, problem, folder, settings);
    expect(again).toEqual(before);
  });
  it("goes on with what is left after an interruption", async () => {
    const cut = join(root, "cut");
    const controller = new AbortController();
    const part = await runRace(runtime, problem, cut, settings, {
      signal: controller.signal,
      onEnd: () => controller.abort(),
    });
    expect(part.scores.map(({ label, unfinished }) => [label, unfinished])).toEqual([
      ["adam", 1],
      ["sgd(learningRate=100000000000000000000)", 2],
      ["sgd(learningRate=1e-7)", 2],
    ]);
    const whole = await runRace(runtime, problem, cut, settings);
    const steps = (race: typeof whole) => race.scores.map(({ label, steps }) => [label, steps]);
    expect(steps(whole)).toEqual(steps(readRace(folder)));
  });
  it("of another kind or version is refused by name", async () => {
    const other = join(root, "other");
    await runRace(runtime, problem, other, { ...settings, seeds: [0], limits: { steps: 1 } });
    const path = join(other, "race.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"version": 1', '"version": 2'));
    expect(() => readRace(other)).toThrow(
      /race.json" is damaged or of another program: version is 2, expected 1/,
    );
    rmSync(path);
    expect(() => readRace(other)).toThrow(/holds no race/);
  });
});

describe("labels", () => {
  it("are unique, and short where they can be", () => {
    const label = (...list: [string, Record<string, number>][]) =>
      labelsOf(list.map(([name, settings]) => ({ name, settings })));
    expect(label(["adam", { beta1: 0.5 }], ["sgd", {}])).toEqual(["adam", "sgd"]);
    expect(label(["adam", { beta1: 0.5 }], ["adam", {}])).toEqual(["adam(beta1=0.5)", "adam"]);
    expect(label(["adam", {}], ["adam", {}])).toEqual(["adam", "adam#2"]);
  });
});

describe("the report", () => {
  const context = {
    problem: 'a <b>"table"</b> & more',
    command: "thalweg race table:file='x y.csv'",
    settings: { adam: { learningRate: 0.02 } },
  };
  const html = () => raceReport(readRace(join(root, "race")), context);
  it("is one file that needs nothing else", () => {
    const page = html();
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).not.toMatch(/<script|<link|src=|https?:\/\/(?!www\.w3\.org)/);
    expect(page.length).toBeLessThan(400_000);
  });
  it("carries its numbers, to be saved as CSV and JSON", () => {
    const carried = (name: string) =>
      Buffer.from(
        new RegExp(`download="${name}" href="data:[a-z/]+;base64,([^"]*)"`).exec(html())![1]!,
        "base64",
      ).toString();
    const rows = JSON.parse(carried("measurements.json")) as { optimizer: string; loss: number }[];
    const [first] = readRace(join(root, "race")).entries;
    expect(rows[0]).toMatchObject({
      optimizer: "adam",
      seed: 0,
      step: 0,
      loss: first!.run!.measurements[0]!.test.loss,
    });
    const [head, ...lines] = carried("measurements.csv").trimEnd().split("\r\n");
    expect(head).toMatch(/^optimizer,seed,step,seconds,trainingLoss,loss/);
    expect(lines).toHaveLength(rows.length);
    expect(
      csvOf([
        { a: 'say "x"', b: undefined },
        { a: "1,2", b: 3 },
      ]),
    ).toBe('a,b\r\n"say ""x""",\r\n"1,2",3\r\n');
  });
  it("closes what it opens, and escapes what it is given", () => {
    const page = html();
    expect(page).toContain("a &lt;b&gt;&quot;table&quot;&lt;/b&gt; &amp; more");
    const open: string[] = [];
    const empty = new Set(["meta", "line", "path", "circle", "rect", "br", "polyline", "polygon"]);
    for (const [, closing, tag, rest] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)\b([^<>]*)>/g)) {
      if (rest!.endsWith("/") || (empty.has(tag!) && !closing)) continue;
      if (closing) expect(open.pop()).toBe(tag);
      else open.push(tag!);
    }
    expect(open).toEqual([]);
  });
  it("has the four curves, the ranking, every run and the command", () => {
    const page = html();
    for (const title of [
      "Training loss against steps",
      "Training loss against seconds",
      "Test loss against steps",
      "Test loss against seconds",
    ])
      expect(page).toContain(title);
    expect(page).toContain("adam reached test loss 0.2 first");
    expect(page).toContain("2 diverged");
    expect(page).toContain("2 not reached");
    expect(page).toContain("thalweg race table:file=");
    // Bars and a table of where the time went.
    expect(page.match(/<i class="bar /g)!.length).toBeGreaterThan(8);
    expect(page).toContain("Where the time of a run went");
    expect(page).not.toContain("NaN<");
    expect(page).not.toContain("undefined");
  });
});
