import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { describeEnvironment } from "../../src/lab/machine.js";
import { openProblem } from "../../src/lab/problems/registry.js";
import { train } from "../../src/lab/run.js";
import { readRun } from "../../src/lab/run-record.js";
import { openSession } from "../../src/lab/session.js";
import type { RunSettings } from "../../src/lab/settings.js";
import { createRun, resumeRun } from "../../src/lab/store.js";
import { trainingPhases } from "../../src/lab/tally.js";
import { decodeTensors } from "../../src/lab/tensors.js";
import { createRuntime } from "../../src/runtime/runtime.js";
import { temporaryFolder, writeTable } from "./folder.js";

const root = temporaryFolder();
const table = writeTable(root);
const runtime = await createRuntime({ threads: 1 });
const environment = describeEnvironment(runtime);

const settings = (changes: Partial<RunSettings> = {}): RunSettings => ({
  problem: { name: "table", options: { file: table, target: "y", hidden: "8" } },
  optimizer: { name: "adam", settings: { learningRate: 0.01 } },
  seed: 1,
  batch: 16,
  limits: { steps: 60 },
  evaluateEvery: 10,
  checkpoint: { seconds: 1000 },
  engine: {},
  ...changes,
});
const start = async (folder: string, given: RunSettings, signal?: AbortSignal) => {
  const session = openSession(runtime, openProblem(given.problem), given);
  const store = await createRun(folder, given, environment);
  try {
    return await train(store, session, { signal });
  } finally {
    store.close();
    session.release();
  }
};
const goOn = async (folder: string, limits?: Partial<RunSettings["limits"]>) => {
  const given = readRun(folder).settings;
  const session = openSession(runtime, openProblem(given.problem), given);
  const store = await resumeRun(folder, limits);
  try {
    return await train(store, session);
  } finally {
    store.close();
    session.release();
  }
};
const arraysIn = (folder: string) => {
  const path = join(folder, "checkpoint.safetensors");
  return decodeTensors(readFileSync(path), path).arrays;
};
const folder = (name: string) => join(root, name);

describe("a run", () => {
  it("records its measurements, its end and its arrays", async () => {
    const result = await start(folder("whole"), settings());
    expect(result).toMatchObject({ reason: "steps", steps: 60, evaluations: { gradients: 60 } });
    const run = readRun(folder("whole"));
    expect(run.result).toEqual(result);
    expect(run.settings).toEqual(settings());
    expect(run.measurements.map(({ step }) => step)).toEqual([0, 10, 20, 30, 40, 50, 60]);
    expect(run.measurements.at(-1)!.test.loss).toBeLessThan(run.measurements[0]!.test.loss! / 2);
    expect(run.measurements[0]!.loss).toBeUndefined();
    expect(run.measurements[1]!.gradientNorm).toBeGreaterThan(0);
    expect(arraysIn(folder("whole")).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["parameters.layers.1.weight", "parameters.layers.3.bias", "optimizer.step"]),
    );
  });

  it("tells all its seconds by the clock of the engine", async () => {
    // A processor that has worked a second more whenever it is asked.
    let asked = 0;
    const usage = vi
      .spyOn(process, "cpuUsage")
      .mockImplementation(() => ({ user: 750_000 * ++asked, system: 250_000 * asked }));
    try {
      const given = settings({ optimizer: { name: "kfac", settings: {} }, limits: { steps: 4 } });
      const clocked = await createRuntime({ threads: 1, clock: "cpu" });
      const session = openSession(clocked, openProblem(given.problem), given);
      const store = await createRun(folder("clock"), given, environment);
      const { seconds, compileSeconds, summary } = await train(store, session);
      store.close();
      // A step asks before its batch, after it, and at the end; between the last two K-FAC asks at each phase.
      const { phases } = summary!;
      expect(compileSeconds).toBe(1);
      expect(phases).toMatchObject({ compile: 1, batches: 4, test: 2 });
      expect(phases.inversion).toBeGreaterThanOrEqual(1);
      expect(trainingPhases.reduce((sum, phase) => sum + (phases[phase] ?? 0), 0)).toBe(seconds);
      expect(Number.isInteger(seconds)).toBe(true);
    } finally {
      usage.mockRestore();
    }
  });

  it("with validation data, tells the test at its end", async () => {
    const problem = { name: "digits-mlp", options: { hidden: "4", validation: 1000 } };
    const result = await start(folder("validated"), settings({ problem, limits: { steps: 2 } }));
    expect(Object.keys(result.test!)).toEqual(Object.keys(result.last!.test));
    expect(result.test).not.toEqual(result.last!.test);
    expect(readRun(folder("validated")).result!.test).toEqual(result.test);
  });

  it("has the same bits when it was stopped and resumed at any step, and with raised limits", async () => {
    for (const steps of [1, 10, 25]) {
      await start(folder(`cut-${steps}`), settings({ limits: { steps } }));
      const result = await goOn(folder(`cut-${steps}`), { steps: 60 });
      expect(result).toMatchObject({ steps: 60, evaluations: { gradients: 60 } });
      expect(arraysIn(folder(`cut-${steps}`))).toEqual(arraysIn(folder("whole")));
    }
    const numbers = (name: string) =>
      readRun(folder(name)).measurements.map(({ seconds, phases, ...rest }) => rest);
    expect(numbers("cut-10")).toEqual(numbers("whole"));
    const told = (name: string) => readRun(folder(name)).result!.summary!;
    for (const steps of [1, 10, 25]) {
      expect(told(`cut-${steps}`).numbers).toEqual(told("whole").numbers);
      expect(told(`cut-${steps}`).words).toEqual(told("whole").words);
    }
  });

  it("by a hybrid is recorded with the settings of its parts, and resumes on either side of the switch", async () => {
    const optimizer = {
      name: "switchTo",
      settings: { first: "momentum", second: "kfac", at: 20, "second.damping": 0.5 },
    };
    await start(folder("hybrid"), settings({ optimizer, limits: { steps: 40 } }));
    for (const steps of [15, 20, 30]) {
      const name = `hybrid-${steps}`;
      await start(folder(name), settings({ optimizer, limits: { steps } }));
      expect(readRun(folder(name)).settings.optimizer).toEqual(optimizer);
      await goOn(folder(name), { steps: 40 });
      expect(arraysIn(folder(name))).toEqual(arraysIn(folder("hybrid")));
    }
  });

  it("goes on after an interruption as if there had been none", async () => {
    const controller = new AbortController();
    controller.abort();
    const result = await start(folder("interrupted"), settings(), controller.signal);
    expect(result.reason).toBe("interrupted");
    await goOn(folder("interrupted"));
    expect(arraysIn(folder("interrupted"))).toEqual(arraysIn(folder("whole")));
  });

  it("loses measurements after the last checkpoint, and makes them again", async () => {
    await start(folder("behind"), settings({ limits: { steps: 30 } }));
    const path = join(folder("behind"), "metrics.jsonl");
    const line = JSON.parse(readFileSync(path, "utf8").trim().split("\n").at(-1)!);
    appendFileSync(path, `${JSON.stringify({ ...line, step: 40 })}\n{"step": 50, "sec`);
    await goOn(folder("behind"), { steps: 60 });
    expect(readRun(folder("behind")).measurements.map(({ step }) => step)).toEqual([
      0, 10, 20, 30, 40, 50, 60,
    ]);
    expect(arraysIn(folder("behind"))).toEqual(arraysIn(folder("whole")));
  });

  it("starts again when there is no checkpoint yet", async () => {
    await start(folder("early"), settings({ limits: { steps: 20 } }));
    rmSync(join(folder("early"), "checkpoint.safetensors"));
    await goOn(folder("early"), { steps: 60 });
    expect(arraysIn(folder("early"))).toEqual(arraysIn(folder("whole")));
  });

  it("stops at its target", async () => {
    const target = { metric: "loss", value: 0.2, goal: "min" } as const;
    const result = await start(folder("target"), settings({ limits: { steps: 5000, target } }));
    expect(result.reason).toBe("target");
    expect(result.reached!.test.loss).toBeLessThanOrEqual(0.2);
    expect(result.steps).toBe(result.reached!.step);
  });

  it("ends where the optimizer has nothing left to gain, on a full batch and on no other", async () => {
    const optimizer = { name: "lbfgs", settings: { tolerance: 0.1 } };
    const full = settings({ optimizer, batch: 64, limits: { steps: 500 } });
    const result = await start(folder("full"), full);
    expect(result.reason).toBe("converged");
    expect(result.steps).toBeLessThan(500);
    expect(result.last!.step).toBe(result.steps);
    expect(result.last!.gradientNorm).toBeLessThanOrEqual(0.1);
    // Raised limits change nothing: it has ended.
    const part = await start(folder("part"), { ...full, batch: 32, limits: { steps: 60 } });
    expect(part.reason).toBe("steps");
  });

  it("tells where its time went and how its steps came about", async () => {
    const optimizer = { name: "kfac", settings: { step: "quadratic", damping: 3 } };
    const { summary, settings: used, seconds } = await start(folder("told"), settings({ optimizer }));
    const { phases, numbers, words } = summary!;
    expect(Object.keys(phases)).toEqual(
      expect.arrayContaining([
        ...["compile", "batches", "evaluation", "curvature"],
        ...["inversion", "update", "search", "test", "files"],
      ]),
    );
    const training = trainingPhases.reduce((sum, phase) => sum + (phases[phase] ?? 0), 0);
    expect(training).toBeCloseTo(seconds, 6);
    expect(numbers.damping).toMatchObject({ count: 60, most: 3 });
    expect(numbers.trustRatio!.count).toBe(12);
    expect(words.accepted!.true).toBeGreaterThan(50);
    expect(used).toMatchObject({ damping: 3, factorInterval: 10 });
    const last = readRun(folder("told")).measurements.at(-1)!;
    expect(last.phases!.curvature).toBeGreaterThan(0);
    expect(last.diagnostics!.damping).toBe(numbers.damping!.last);
  });

  it("stops when it diverges, keeps the last finite checkpoint and says what the loss was", async () => {
    const optimizer = { name: "sgd", settings: { learningRate: 1e20 } };
    const result = await start(folder("diverged"), settings({ optimizer }));
    expect(result.reason).toBe("diverged");
    expect(result.diverged!.loss).toMatch(/NaN|Infinity/);
    expect(existsSync(join(folder("diverged"), "checkpoint.safetensors"))).toBe(false);
  });
});

describe("a folder that is not what it should be", () => {
  const message = async (action: Promise<unknown>) =>
    action.then(
      () => "no error",
      (error: Error) => `${error.name}: ${error.message}`,
    );
  it("is not written over", async () => {
    expect(await message(start(folder("whole"), settings()))).toMatch(
      /UserError: .*already holds a run; go on with --resume/,
    );
    mkdirSync(folder("other"));
    writeFileSync(join(folder("other"), "letter.txt"), "dear");
    expect(await message(start(folder("other"), settings()))).toMatch(
      /is not empty \(it holds "letter.txt"\)/,
    );
  });
  it("is not used by two processes", async () => {
    const store = await createRun(folder("owned"), settings(), environment);
    expect(await message(resumeRun(folder("owned")))).toMatch(/is in use by process \d+/);
    store.close();
    (await resumeRun(folder("owned"))).close();
  });
  it.runIf(process.platform === "linux")(
    "is taken over from a process that was killed and that nobody has asked for",
    async () => {
      (await createRun(folder("zombie"), settings(), environment)).close();
      // The shell's child ends under a parent that never waits for it.
      const parent = spawn("sh", ["-c", "true & echo $!; exec sleep 60"]);
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const state = () => readFileSync(`/proc/${Number(line)}/stat`, "utf8");
      while (!/\) Z/.test(state())) await new Promise((resolve) => setTimeout(resolve, 5));
      const owner = { pid: Number(line), host: hostname(), token: "its own" };
      writeFileSync(join(folder("zombie"), "lock"), JSON.stringify(owner));
      (await resumeRun(folder("zombie"))).close();
      parent.kill();
    },
  );
  it("is taken over from a process that is dead", async () => {
    (await createRun(folder("dead"), settings(), environment)).close();
    writeFileSync(
      join(folder("dead"), "lock"),
      JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), token: "x" }),
    );
    (await resumeRun(folder("dead"))).close();
    expect(existsSync(join(folder("dead"), "lock"))).toBe(false);
  });
  it("is named, with the field and its value, when it is damaged", async () => {
    await start(folder("damaged"), settings({ limits: { steps: 20 } }));
    const path = (file: string) => join(folder("damaged"), file);
    const whole = {
      run: readFileSync(path("run.json"), "utf8"),
      metrics: readFileSync(path("metrics.jsonl"), "utf8"),
    };
    const cases: [string, string, RegExp][] = [
      ["run.json", whole.run.slice(0, 100), /run.json" is damaged: it is not JSON/],
      ["run.json", whole.run.replace('"batch": 16', '"batch": -3'), /settings.batch is -3, expected >=1/],
      ["run.json", whole.run.replace("thalweg-run", "other"), /format is "other", expected "thalweg-run"/],
      ["run.json", "[]", /format is missing, expected "format"/],
      ["metrics.jsonl", `nonsense\n${whole.metrics}`, /metrics.jsonl:1" is damaged: it is not JSON/],
      ["metrics.jsonl", `${whole.metrics}${whole.metrics}`, /step 0 follows step 20/],
      ["checkpoint.safetensors", "short", /checkpoint.safetensors" is damaged/],
    ];
    for (const [file, content, expected] of cases) {
      const before = readFileSync(path(file));
      writeFileSync(path(file), content);
      expect(await message(resumeRun(folder("damaged")))).toMatch(expected);
      writeFileSync(path(file), before);
    }
    (await resumeRun(folder("damaged"))).close();
  });
  it("does not take the checkpoint of another model", async () => {
    await start(folder("wide"), settings({ limits: { steps: 5 } }));
    const run = join(folder("wide"), "run.json");
    writeFileSync(run, readFileSync(run, "utf8").replace('"hidden": "8"', '"hidden": "9"'));
    expect(await message(goOn(folder("wide")))).toMatch(
      /does not fit this model: "parameters.layers.1.weight" should be f32\[2, 9\] and is f32\[2, 8\]; start a new run/,
    );
  });
});
