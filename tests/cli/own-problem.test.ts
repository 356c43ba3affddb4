import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readProblem } from "../../src/cli/options.js";
import { loadProblem } from "../../src/lab/problems/registry.js";
import { temporaryFolder } from "../lab/folder.js";
import { thalweg } from "./command.js";

const repository = resolve(import.meta.dirname, "../..");
const folder = temporaryFolder();
mkdirSync(join(folder, "node_modules"));
symlinkSync(repository, join(folder, "node_modules/thalweg"));
writeFileSync(join(folder, "package.json"), '{ "type": "module" }');

/** The example of the documentation, word for word. */
const [, example] = /```ts\n(.*?)```/s.exec(readFileSync(join(repository, "docs/problems.md"), "utf8"))!;
writeFileSync(join(folder, "ramps.ts"), example!);
const readsTypeScript = Boolean((process.features as { readonly typescript?: unknown }).typescript);

/** A module of JavaScript in the folder; gives its path. */
function write(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return `./${name}`;
}
const plain = write(
  "plain.mjs",
  `import { positiveCount, startSupervised } from "thalweg/lab";
import { dense, meanSquared, model } from "thalweg/nn";
const data = { name: "line", size: 40, inputShape: [1], targetShape: [1],
  inputs: Float32Array.from({ length: 40 }, (_, k) => k / 40), targets: Float32Array.from({ length: 40 }, (_, k) => k / 20) };
export default { name: "line", description: "y = 2x", options: { repeat: positiveCount(1, "times") },
  open: () => ({ summary: "1-1", suggested: {}, metrics: { loss: "min" },
    defaults: { batch: 10, steps: 400, evaluateEvery: 10, target: { metric: "loss", value: 0.001, goal: "min" } },
    start: startSupervised({ model: model(dense(1), [1]), loss: meanSquared(), data: { train: data, test: data } }) }) };
`,
);

describe("a problem of one's own", () => {
  it("imports the copy of the package that the command is of, with another beside it or none", () => {
    const elsewhere = temporaryFolder();
    mkdirSync(join(elsewhere, "other/node_modules/thalweg"), { recursive: true });
    writeFileSync(join(elsewhere, "other/node_modules/thalweg/package.json"), '{ "name": "thalweg" }');
    for (const place of [".", "other"]) {
      writeFileSync(join(elsewhere, place, "plain.mjs"), readFileSync(join(folder, plain)));
      const { code, stderr } = thalweg(join(elsewhere, place), ["race", plain, "-o", "sgd", "--seeds", "1"]);
      expect([code, stderr.includes("error")]).toEqual([0, false]);
    }
  });
  it.skipIf(readsTypeScript)("in TypeScript says what this version of Node needs", () => {
    const { code, stderr } = thalweg(folder, ["list", "./ramps.ts"]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^error: "ramps.ts" is TypeScript, .* npm install tsx beside it, or give a .mjs file\n$/,
      ),
    ]);
  });
  it("in TypeScript, as documented, is listed and raced", () => {
    symlinkSync(join(repository, "node_modules/tsx"), join(folder, "node_modules/tsx"));
    expect(thalweg(folder, ["list", "./ramps.ts"]).stdout).toMatch(/hidden +32 .*width of the hidden layer/);
    const race = ["race", "./ramps.ts:hidden=16", "-o", "adam", "-o", "sgd:learningRate=1e-6"];
    const { code, stdout } = thalweg(folder, [
      ...race,
      "--seeds",
      "1",
      "--target",
      "loss=0.1",
      "--steps",
      "500",
      "--json",
    ]);
    expect(code).toBe(0);
    const { scores, settings } = JSON.parse(stdout);
    expect(settings.problem).toEqual({
      name: "ramps",
      file: join(folder, "ramps.ts"),
      options: { hidden: 16, noise: 0.05 },
    });
    expect(scores.map(({ label, reached }: { label: string; reached: number }) => [label, reached])).toEqual([
      ["adam", 1],
      ["sgd", 0],
    ]);
  });
  it("is found again when its run is resumed, and by every command that takes a problem", () => {
    const begun = thalweg(folder, [
      "train",
      `${plain}:repeat=2`,
      "-o",
      "sgd",
      "--steps",
      "20",
      "--out",
      "run",
    ]);
    expect([begun.code, begun.stderr]).toEqual([0, expect.stringContaining("line: 1-1")]);
    const resumed = thalweg(folder, ["train", "--resume", "run", "--steps", "40"]);
    expect(resumed.stdout).toContain("40 steps in");
    for (const command of [
      ["tune", plain, "sgd", "--trials", "1", "--steps", "30"],
      ["probe", plain, "--batch", "20", "--batches", "2", "--top", "1"],
      ["costs", plain, "-o", "sgd"],
    ]) {
      const { code, stderr } = thalweg(folder, command);
      expect([command[0], code, stderr]).toEqual([command[0], 0, expect.not.stringContaining("error")]);
    }
  });
  it("that is none says what is missing, in one line", async () => {
    const open = (name: string, text: string) =>
      write(name, `export default { name: "x", description: "", options: {}, open: () => (${text}) };`);
    const cases: [string, RegExp][] = [
      ["./nowhere.ts", /there is no file ".*nowhere.ts"/],
      [write("broken.mjs", "export default {"), /broken.mjs" cannot be loaded: /],
      [write("none.mjs", "export const x = 1;"), /none.mjs" has no default export; write: export default/],
      [
        write("half.mjs", 'export default { name: "half" };'),
        /description of its default export is missing; docs/,
      ],
      [open("number.mjs", "{ summary: 3 }"), /summary of what open returns is 3, expected string/],
      [open("empty.mjs", "{}"), /summary of what open returns is missing/],
      [
        write(
          "throws.mjs",
          'export default { name: "x", description: "", options: {}, open() { throw new Error("no data"); } };',
        ),
        /throws.mjs" cannot be opened: no data/,
      ],
    ];
    for (const [path, message] of cases)
      await expect(loadProblem(readProblem(join(folder, path)))).rejects.toThrow(message);
    const { code, stderr } = thalweg(folder, ["train", "./broken.mjs"]);
    expect([code, stderr.trim().split("\n")]).toEqual([
      1,
      [expect.stringMatching(/^error: .*Unexpected end of input$/)],
    ]);
  });
  it("that fails while it is trained says where, in one line", () => {
    const lines = `import kind from "./plain.mjs";
export default { ...kind, open(options) { const line = kind.open(options); return CHANGED; } };`;
    const changed = (file: string, text: string) => write(file, lines.replace("CHANGED", text));
    const start = (change: string) =>
      `{ ...line, start: (...given) => { const own = line.start(...given); return ${change}; } }`;
    const runs: [string, RegExp][] = [
      [
        changed(
          "goal.mjs",
          '{ ...line, defaults: { ...line.defaults, target: { metric: "loss", value: 1, goal: "max" } } }',
        ),
        /goal.mjs": the target of what open returns is of loss \(max\), its metrics are loss \(min\)/,
      ],
      [changed("nothing.mjs", start("{}")), /nothing.mjs": objective of what start returns is missing/],
      [
        changed("evaluate.mjs", start('{ ...own, evaluate() { throw new Error("no such row"); } }')),
        /evaluate.mjs" fails in evaluate: no such row/,
      ],
      [
        changed("load.mjs", start('{ ...own, load() { throw new Error("no such file"); } }')),
        /load.mjs" fails in load: no such file/,
      ],
      [
        changed("metric.mjs", start("{ ...own, evaluate: () => ({ los: 1 }) }")),
        /metric.mjs": what evaluate returns has no number loss, which metrics names/,
      ],
    ];
    for (const [path, message] of runs) {
      const { code, stderr } = thalweg(folder, ["train", path, "-o", "sgd", "--steps", "2"]);
      expect([code, stderr.match(/^error:.*$/m)?.[0]]).toEqual([1, expect.stringMatching(message)]);
    }
  });
});
