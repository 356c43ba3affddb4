/** The examples of the README, word for word, in a folder that has the package: types, and what they print. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it, vi } from "vitest";
import { decodeTensors } from "../src/lab/tensors.js";
import { thalwegHere } from "./cli/command.js";
import { temporaryFolder } from "./lab/folder.js";

// A process for each, and one for the types: where other tests have the processors, that takes its time.
vi.setConfig({ testTimeout: 240_000 });

const repository = resolve(import.meta.dirname, "..");
if (!existsSync(join(repository, "dist"))) throw new Error("dist is missing; run: npm run build");
const folder = temporaryFolder();
mkdirSync(join(folder, "node_modules"));
for (const [name, target] of [
  ["thalweg", "."],
  ["@types", "node_modules/@types"],
] as const)
  symlinkSync(join(repository, target), join(folder, "node_modules", name));

const readme = readFileSync(join(repository, "README.md"), "utf8");
/** Each program, and what stands after "prints". */
const examples = [...readme.matchAll(/^### \d\. .*?\n```ts\n(.*?)```\n\nprints.*?\n\n```\n(.*?)```/gms)].map(
  ([, program, printed]) => ({ program: program!, printed: printed! }),
);

function run(name: string, program: string): string {
  writeFileSync(join(folder, name), program);
  const tsx = import.meta.resolve("tsx");
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", tsx, name], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", THALWEG_THREADS: "1" },
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}

it("are four, and type-check under strict", () => {
  expect(examples).toHaveLength(4);
  const names = examples.map(({ program }, k) => {
    writeFileSync(join(folder, `types-${k}.mts`), program);
    return `types-${k}.mts`;
  });
  const options = "--noEmit --strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --types node";
  const tsc = join(repository, "node_modules/typescript/bin/tsc");
  const args = [...options.split(" "), "--module", "nodenext", "--target", "es2022", ...names];
  expect(spawnSync(process.execPath, [tsc, ...args], { cwd: folder, encoding: "utf8" }).stdout).toBe("");
});

it.each([1, 3])("example %i and one prints what it says", (k) => {
  expect(run(`prints-${k}.mts`, examples[k]!.program)).toBe(examples[k]!.printed);
});

/** A training with a tenth of its steps, or fewer. */
const shorter = (example: number, tenth: number) =>
  examples[example]!.program.replace("2500", String(5 * tenth)).replace("% 500", `% ${tenth}`);

it("the first learns, and its weights are in the file", () => {
  const lines = run("trains.mts", shorter(0, 50)).split("\n");
  expect(lines).toHaveLength(examples[0]!.printed.split("\n").length);
  expect(lines[4]).toMatch(/^step 250 {2}rate \d\.\de-\d {2}loss 0\.\d{4} {2}test 9\d\.\d\d %$/);
  const path = join(folder, "digits.safetensors");
  expect(decodeTensors(readFileSync(path), path).arrays.map(({ name, shape }) => [name, shape])).toEqual([
    ["parameters.layers.1.weight", [784, 128]],
    ["parameters.layers.1.bias", [128]],
    ["parameters.layers.3.weight", [128, 10]],
    ["parameters.layers.3.bias", [10]],
  ]);
});

it("part by part it is the same training", () => {
  expect(examples[2]!.printed).toBe(examples[0]!.printed);
  expect(run("parts.mts", shorter(2, 4))).toBe(run("whole.mts", shorter(0, 4)));
});

it("K-FAC can stand where AdamW stands, and weights that the command left are read", async () => {
  await thalwegHere(folder, ["train", "digits-mlp", "--steps", "20", "--out", "run"]);
  const program = shorter(0, 4)
    .replace(/optimizers\.adamw\.create\(.*?\)/, "optimizers.kfac.create()")
    .replace("{ writeFileSync }", "{ readFileSync, writeFileSync }")
    .replace("{ encodeTensors, modelArrays,", "{ decodeTensors, encodeTensors, modelArrays, restore,")
    .replace(
      "writeFileSync(",
      `const path = "run/checkpoint.safetensors";
restore(modelArrays(objective), decodeTensors(readFileSync(path), path).arrays, path);
console.log(evaluate().accuracy);
writeFileSync(`,
    );
  const [trained, read] = run("second-order.mts", program).trimEnd().split("\n").slice(-2);
  expect(trained).toMatch(/^step 20 {2}rate 3\.0e-2 {2}loss \d\.\d{4} {2}test [789]\d\.\d\d %$/);
  const { last } = JSON.parse(readFileSync(join(folder, "run/result.json"), "utf8"));
  expect(Number(read)).toBeCloseTo(last.test.accuracy, 6);
});
