import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  attainable,
  compareFolder,
  exitCode,
  lossDeviation,
  vectorDeviation,
} from "../../scripts/conformance/compare.js";
import { FormatError } from "../../scripts/conformance/format.js";
import { optimizers } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import {
  logisticL2,
  mlpRegression,
  type PlainOptimizer,
  type PlainProblem,
  problemEntry,
  quadraticIll,
  runFile,
  torchAdam,
  torchSgd,
} from "./oracle.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

let runtime: Runtime;
const folders: string[] = [];
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(async () => {
  await runtime.close();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** A folder of the given files; text is written as it is. */
function folderOf(files: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  folders.push(folder);
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  return folder;
}

const problemsFile = (...problems: PlainProblem[]) =>
  Object.fromEntries(problems.map((problem) => [problem.name, problemEntry(problem)]));
const named = (problem: PlainProblem, optimizer: PlainOptimizer, steps = 30) => ({
  [`${problem.name}.${optimizer.name}.json`]: runFile(problem, optimizer, steps),
});

const plainOptimizers = [
  torchSgd("sgd", { lr: 0.01 }),
  torchSgd("sgd-momentum", { lr: 0.005, momentum: 0.9 }),
  torchSgd("sgd-momentum-l2", { lr: 0.005, momentum: 0.9, dampening: 0.5, weight_decay: 0.1 }),
  torchSgd("sgd-nesterov-l2", { lr: 0.005, momentum: 0.9, weight_decay: 0.01, nesterov: true }),
  torchAdam("adam", false, { lr: 0.02 }),
  torchAdam("adam-l2", false, { lr: 0.02, weight_decay: 0.1 }),
  torchAdam("adam-amsgrad", false, { lr: 0.02, betas: [0.9, 0.7], amsgrad: true }),
  torchAdam("adamw", true, { lr: 0.02, weight_decay: 0.1 }),
];

describe("the reference trajectories of this repository", () => {
  const folder = join(root, "tests/vectors");
  let table: ReturnType<typeof compareFolder>;
  beforeAll(() => {
    table = compareFolder(runtime, folder);
  });
  test("every file agrees, those of first-order and diagonal methods to 1e-10", () => {
    expect(table.problems.map((row) => row.status)).toEqual(table.problems.map(() => "ok"));
    for (const row of table.files) {
      expect(row, row.file).toMatchObject({ status: "ok" });
      if (/^(sgd|adam|adamw|lars|lamb|adahessian|sophiah)(-|$)/.test(row.optimizer))
        expect(Math.max(row.lossDeviation!, row.parameterDeviation!), row.file).toBeLessThan(1e-10);
    }
    expect(table.files.length).toBeGreaterThanOrEqual(80);
    expect(exitCode(table)).toBe(0);
  });
  test("every file has an entry in the table of references", () => {
    expect(table.files.filter((row) => row.note.startsWith("no method is known"))).toEqual([]);
  });
  test("`only` chooses by parts of names", () => {
    const { files } = compareFolder(runtime, folder, { only: ["rosenbrock-10d.sgd", "matrix-lstsq.adamw"] });
    expect(files.map((row) => row.file)).toEqual([
      "matrix-lstsq.adamw.json",
      "rosenbrock-10d.sgd-momentum-l2.json",
      "rosenbrock-10d.sgd-momentum.json",
      "rosenbrock-10d.sgd-nesterov-l2.json",
      "rosenbrock-10d.sgd-nesterov.json",
      "rosenbrock-10d.sgd.json",
    ]);
  });
});

describe("problems known by name", () => {
  test.each([
    quadraticIll(),
    mlpRegression(),
    mlpRegression([1, 2, 6, 1], 3),
    logisticL2(),
    logisticL2(1, 2, false),
  ])("$name", (problem) => {
    const files = plainOptimizers.map((optimizer) => named(problem, optimizer));
    const table = compareFolder(
      runtime,
      folderOf(Object.assign({ "problems.json": problemsFile(problem) }, ...files)),
    );
    expect(table.problems).toMatchObject([{ problem: problem.name, status: "ok" }]);
    expect(table.problems[0]!.gradientDeviation).toBeLessThan(1e-14);
    expect(table.files).toHaveLength(plainOptimizers.length);
    for (const row of table.files) {
      expect(row, row.file).toMatchObject({ status: "ok", steps: 30 });
      expect(Math.max(row.lossDeviation!, row.parameterDeviation!), row.file).toBeLessThan(1e-12);
    }
  });
  test("data without shapes take the shapes of their lists", () => {
    const problem = quadraticIll();
    const { data_shapes: _, ...entry } = problemEntry(problem);
    const folder = folderOf({
      "problems.json": { [problem.name]: entry },
      ...named(problem, plainOptimizers[0]!),
    });
    expect(compareFolder(runtime, folder).files[0]).toMatchObject({ status: "ok" });
  });
  test("float32 files run in f32 and are held to its rounding", () => {
    const problem = mlpRegression();
    const file = { ...runFile(problem, plainOptimizers[0]!, 20), dtype: "float32" };
    const table = compareFolder(
      runtime,
      folderOf({ "problems.json": problemsFile(problem), "mlp-regression.sgd.json": file }),
    );
    expect(table.problems).toMatchObject([{ dtype: "f32", status: "ok" }]);
    expect(table.files[0]).toMatchObject({ status: "ok", tolerance: attainable("f32") });
    expect(table.files[0]!.lossDeviation).toBeGreaterThan(1e-12);
  });
});

describe("deviations", () => {
  const problem = mlpRegression();
  const [sgd, , , , adam] = plainOptimizers as [PlainOptimizer, never, never, never, PlainOptimizer];
  const compare = (files: Record<string, unknown>) =>
    compareFolder(runtime, folderOf({ "problems.json": problemsFile(problem), ...files }));

  test("another convention is seen at the first update", () => {
    const file = runFile(problem, torchAdam("adam", false, { lr: 0.02, eps: 1e-3 }), 20);
    const table = compare({
      "mlp-regression.adam.json": { ...file, hyperparameters: { ...file.hyperparameters, eps: 1.1e-3 } },
    });
    expect(table.files[0]).toMatchObject({ status: "deviates" });
    expect(table.files[0]!.note).toContain("the first update is off by");
    expect(exitCode(table)).toBe(1);
  });
  test("a later difference is dated", () => {
    const file = runFile(problem, sgd, 20);
    const loss = file.loss.map((value, k) => (k === 7 ? value * (1 + 1e-8) : value));
    const table = compare({ "mlp-regression.sgd.json": { ...file, loss } });
    expect(table.files[0]).toMatchObject({ status: "deviates" });
    expect(table.files[0]!.lossDeviation).toBeCloseTo(1e-8, 10);
    expect(table.files[0]!.note).toBe("the first update agrees; loss 7 is the first to deviate");
  });
  test("a deviation within what amplification explains is none", () => {
    const file = runFile(problem, sgd, 20);
    const loss = file.loss.map((value) => value * (1 + 1e-9));
    const [strict, loose] = [1, 1e6].map((amplification) =>
      compare({ "mlp-regression.sgd.json": { ...file, loss, amplification } }),
    );
    expect(strict!.files[0]).toMatchObject({ status: "deviates", tolerance: 1e-10 });
    expect(loose!.files[0]).toMatchObject({ status: "ok", tolerance: 1e-8 });
  });
  test("a wrong start is told first", () => {
    const entry = problemEntry(problem);
    const folder = folderOf({
      "problems.json": { [problem.name]: { ...entry, initial_loss: entry.initial_loss * 1.001 } },
      ...named(problem, sgd),
    });
    const table = compareFolder(runtime, folder);
    expect(table.problems[0]).toMatchObject({ status: "deviates" });
    expect(table.problems[0]!.lossDeviation).toBeCloseTo(1e-3, 5);
    expect(exitCode(table)).toBe(1);
  });
  test("a trajectory of ours that is not finite deviates", () => {
    const quadratic = quadraticIll();
    const file = runFile(quadratic, torchSgd("sgd", { lr: 0.01 }), 400);
    const table = compareFolder(
      runtime,
      folderOf({
        "problems.json": problemsFile(quadratic),
        "quadratic-ill.sgd.json": { ...file, hyperparameters: { lr: 100 } },
      }),
    );
    expect(table.files[0]).toMatchObject({ status: "deviates", lossDeviation: Number.POSITIVE_INFINITY });
  });
  test("measures", () => {
    expect(lossDeviation([1, 2], [1, 2])).toBe(0);
    expect(lossDeviation([100, 1e-9], [100, 0])).toBeCloseTo(1e-6, 15);
    expect(lossDeviation([0], [0])).toBe(0);
    expect(lossDeviation([Number.NaN], [1])).toBe(Number.POSITIVE_INFINITY);
    expect(vectorDeviation([1, 2.2], [1, 2])).toBeCloseTo(0.1, 15);
    expect(vectorDeviation([3, 1e-6, 4], [3, 0, 4])).toBeCloseTo(1e-6 / Math.sqrt(25 / 3), 15);
    expect(vectorDeviation([0, 0], [0, 0])).toBe(0);
    expect(attainable("f64", 0.1)).toBe(1e-10);
    expect(attainable("f64", 1e5)).toBeCloseTo(1e-9, 20);
  });
  test("what nobody knows is missing", () => {
    const file = runFile(problem, adam, 3);
    const table = compare({ "mlp-regression.zorro.json": { ...file, optimizer: "zorro" } });
    const [zorro] = table.files;
    expect(zorro).toMatchObject({ status: "missing", note: "no method is known that repeats this" });
  });
});

describe("methods to come plug in by an entry", () => {
  const problem = quadraticIll(5, 4);
  test("stored draws are handed over before every update", () => {
    const seen: unknown[] = [];
    const file = { ...runFile(problem, plainOptimizers[0]!, 3), optimizer: "fed", z: [[1], [2], [3]] };
    const table = compareFolder(
      runtime,
      folderOf({ "problems.json": problemsFile(problem), "quadratic-ill.fed.json": file }),
      {
        references: [
          {
            files: /^fed$/,
            method: "fed",
            prepare: (given) => ({
              optimizer: optimizers.sgd.create({ learningRate: 0.01 }),
              feed: (training, t) => {
                seen.push([t, (given.z as number[][])[t - 1], training.state.step!.data[0]]);
              },
            }),
          },
        ],
      },
    );
    expect(table.files[0]).toMatchObject({ status: "ok" });
    expect(seen).toEqual([
      [1, [1], 0],
      [2, [2], 1],
      [3, [3], 2],
    ]);
  });
  test("references of which only the end is known are compared there", () => {
    const run = (end: number) => {
      const { params_after_step_1: _, ...file } = runFile(problem, torchSgd("end", { lr: 0.2 }), 200);
      const loss = [file.loss[0], end];
      return compareFolder(
        runtime,
        folderOf({
          "problems.json": problemsFile(problem),
          "quadratic-ill.end.json": { ...file, loss, kind: "final-only", gradient_norm_at_end: 1e-9 },
        }),
        {
          references: [
            {
              files: /^end$/,
              method: "end",
              prepare: () => ({
                optimizer: optimizers.nesterov.create({ learningRate: 0.1, momentum: 0.5 }),
              }),
            },
          ],
        },
      ).files[0]!;
    };
    const minimum = runFile(problem, torchSgd("end", { lr: 0.2 }), 400).loss.at(-1)!;
    expect(run(minimum)).toMatchObject({ status: "ok" });
    expect(run(minimum)!.note).toMatch(/^\d+ steps where the reference took 200$/);
    expect(run(minimum - 0.1)).toMatchObject({ status: "deviates" });
  });
});

describe("unusable input is one clear line", () => {
  const problem = quadraticIll();
  const good = runFile(problem, plainOptimizers[0]!, 3);
  const start = problemsFile(problem);
  const entry = start[problem.name]!;
  const { loss: _, ...withoutLoss } = good;

  const cases: [string, Record<string, unknown>, string][] = [
    ["not JSON", { "quadratic-ill.sgd.json": '{"problem": ' }, "quadratic-ill.sgd.json: is not JSON ("],
    [
      "NaN",
      { "quadratic-ill.sgd.json": JSON.stringify(good).replace(/"steps":3/, '"steps":NaN') },
      "is not JSON (",
    ],
    [
      "no loss",
      { "quadratic-ill.sgd.json": withoutLoss },
      "quadratic-ill.sgd.json: loss: Invalid key: Expected",
    ],
    [
      "too few losses",
      { "quadratic-ill.sgd.json": { ...good, loss: good.loss.slice(1) } },
      "quadratic-ill.sgd.json: loss has 3 values; 4 belong to 3 steps",
    ],
    [
      "a loss that is no number",
      { "quadratic-ill.sgd.json": { ...good, loss: [1, null, 2, 3] } },
      "quadratic-ill.sgd.json: loss.1: Invalid type: Expected number but received null",
    ],
    [
      "too few parameters",
      { "quadratic-ill.sgd.json": { ...good, params: { x: [1] } } },
      "quadratic-ill.sgd.json: params.x has 1 values, not 6",
    ],
    [
      "unknown problem",
      { "quadratic-ill.sgd.json": { ...good, problem: "other" } },
      'quadratic-ill.sgd.json: problem "other" is not in problems.json',
    ],
    [
      "unknown hyperparameter",
      { "quadratic-ill.sgd.json": { ...good, hyperparameters: { lr: 0.1, maximize: true } } },
      'hyperparameters: maximize: Invalid key: Expected never but received "maximize"',
    ],
    [
      "learning rate out of range",
      { "quadratic-ill.sgd.json": { ...good, hyperparameters: { lr: -1 } } },
      "sgd: learningRate is -1; use a number above 0",
    ],
    [
      "dtype",
      { "quadratic-ill.sgd.json": { ...good, dtype: "float16" } },
      'quadratic-ill.sgd.json: dtype is "float16"; use float64 or float32',
    ],
  ];
  test.each(cases)("%s", (_name, files, message) => {
    const adam = named(problem, plainOptimizers[4]!, 3);
    const table = compareFolder(runtime, folderOf({ "problems.json": start, ...files, ...adam }));
    const row = table.files.find((found) => found.file === "quadratic-ill.sgd.json")!;
    expect(row.status).toBe("unusable");
    expect(row.note).toContain(message);
    expect(row.note).not.toContain("\n");
    // The other file is not concerned.
    expect(table.files.find((found) => found.optimizer === "adam")).toMatchObject({ status: "ok" });
    expect(exitCode(table)).toBe(2);
  });

  const problemCases: [string, unknown, string][] = [
    ["a loss we do not know", { other: entry }, 'there is no loss for problem "other"'],
    [
      "missing data",
      { "quadratic-ill": { ...entry, data: { H: entry.data.H } } },
      "quadratic-ill has no data b",
    ],
    [
      "data of another shape",
      { "quadratic-ill": { ...entry, data: { ...entry.data, b: [1, 2] } } },
      "quadratic-ill: b has 2 values, its shape is [6]",
    ],
  ];
  test.each(problemCases)("problem with %s", (_name, problems, message) => {
    const name = Object.keys(problems as object)[0]!;
    const table = compareFolder(
      runtime,
      folderOf({ "problems.json": problems, [`${name}.sgd.json`]: { ...good, problem: name } }),
    );
    expect(table.problems[0]).toMatchObject({ status: "unusable" });
    expect(table.problems[0]!.note).toContain(message);
    expect(table.files[0]!.note).toContain(message);
    expect(exitCode(table)).toBe(2);
  });

  const folderCases: [string, Record<string, unknown>, string][] = [
    ["nothing in it", {}, "there is no <problem>.<optimizer>.json in it"],
    ["no problems.json", { "quadratic-ill.sgd.json": good }, "problems.json: cannot be read (ENOENT"],
    [
      "a parameter of another size",
      {
        "problems.json": { "quadratic-ill": { ...entry, param_shapes: { x: [5] } } },
        "quadratic-ill.sgd.json": good,
      },
      "problems.json: quadratic-ill: x has 6 values, its shape is [5]",
    ],
  ];
  test.each(folderCases)("folder with %s", (_name, files, message) => {
    const folder = folderOf(files);
    expect(() => compareFolder(runtime, folder)).toThrow(FormatError);
    expect(() => compareFolder(runtime, folder)).toThrow(message);
  });
});

describe("the command", () => {
  const run = (...given: string[]) => {
    const result = spawnSync(process.execPath, ["--import", "tsx", "scripts/conformance.ts", ...given], {
      cwd: root,
      encoding: "utf8",
    });
    return { code: result.status, out: result.stdout, err: result.stderr };
  };
  const problem = quadraticIll();
  const files = { "problems.json": problemsFile(problem), ...named(problem, plainOptimizers[0]!) };

  test("prints a table and leaves with 0 when all is well", () => {
    const { code, out, err } = run(folderOf(files));
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toMatch(/quadratic-ill +sgd +30 +1 +\d\.\de-\d+ +\d\.\de-\d+ +1\.0e-10 +ok\n/);
    expect(out).toContain("1 files: 1 ok, 0 deviates, 0 missing, 0 unusable");
  });
  test("prints JSON, and leaves with 1 when something deviates", () => {
    const wrong = { ...runFile(problem, plainOptimizers[0]!, 30), hyperparameters: { lr: 0.011 } };
    const { code, out } = run(folderOf({ ...files, "quadratic-ill.sgd.json": wrong }), "--json");
    expect(code).toBe(1);
    const table = JSON.parse(out);
    expect(table.problems).toMatchObject([{ problem: "quadratic-ill", dtype: "f64", status: "ok" }]);
    expect(table.files).toMatchObject([
      { optimizer: "sgd", steps: 30, amplification: 1, status: "deviates" },
    ]);
  });
  test("says in one line what is wrong, and leaves with 2", () => {
    const missing = run(join(tmpdir(), "there-is-no-such-folder"));
    expect(missing.code).toBe(2);
    expect(missing.err).toMatch(/^conformance: .*there-is-no-such-folder: cannot be listed \(ENOENT.*\)\n$/);
    expect(run()).toMatchObject({ code: 2, err: expect.stringContaining("no folder given") });
    const option = run("tests/vectors", "--wrong");
    expect(option.code).toBe(2);
    expect(option.err).toContain("Unknown option '--wrong'");
    const only = run("tests/vectors", "--only", "nothing-like-this");
    expect(only.code).toBe(2);
    expect(only.err).toContain("no file's name contains nothing-like-this");
  });
});
