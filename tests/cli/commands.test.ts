import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { newFolder } from "../../src/cli/options.js";
import { readRun } from "../../src/lab/run-record.js";
import { decodeTensors } from "../../src/lab/tensors.js";
import { temporaryFolder, writeTable } from "../lab/folder.js";
import { startThalweg, thalweg, thalwegHere } from "./command.js";

const root = temporaryFolder();
const table = "table:file=table.csv,target=y,hidden=32-32";
beforeAll(() => {
  writeTable(root);
});
const arraysIn = (folder: string) => {
  const path = join(root, folder, "checkpoint.safetensors");
  return decodeTensors(readFileSync(path), path).arrays;
};
/** Resolves when the run in a folder has a checkpoint of at least this step. */
async function untilCheckpoint(folder: string): Promise<void> {
  const path = join(root, folder, "checkpoint.safetensors");
  const end = performance.now() + 30_000;
  while (!existsSync(path)) {
    if (performance.now() > end) throw new Error(`no checkpoint in ${folder}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it("runs of one name begun within a second have folders of their own", () => {
  const before = process.cwd();
  process.chdir(temporaryFolder());
  const folders = Array.from({ length: 3 }, () => {
    const folder = newFolder("digits", new Date("2026-01-02T03:04:05.678Z"));
    mkdirSync(folder, { recursive: true });
    return folder;
  });
  process.chdir(before);
  const first = "thalweg-runs/digits-20260102-030405";
  expect(folders).toEqual([first, `${first}-2`, `${first}-3`]);
});

describe("thalweg race", () => {
  it("ranks the optimizers in a table and writes the report", () => {
    const args = [
      "race",
      table,
      "-o",
      "adam",
      "-o",
      "sgd:learningRate=1e-9",
      "--seeds",
      "2",
      "--target",
      "loss=0.3",
      "--steps",
      "800",
      "--out",
      "race",
    ];
    const { code, stdout, stderr } = thalweg(root, args);
    expect([code, stderr.includes("error")]).toEqual([0, false]);
    const lines = stdout.trim().split("\n");
    expect(lines[0]).toBe("To test loss 0.3, medians of 2 seeds");
    expect(lines[2]).toMatch(/optimizer +reached +time +steps +gradients +best loss/);
    expect(lines[4]).toMatch(/^1 +adam +2 of 2 /);
    expect(lines[5]).toMatch(/^2 +sgd +0 of 2, 2 not reached +\S +\S +\S /);
    expect(lines.at(-1)).toBe("report: race/report.html");
    expect(stdout).toMatch(
      /Where the time of a run went.*\noptimizer +time +compile +batches +step +test +files\n/,
    );
    expect(stdout).toMatch(/^sgd +\S+ (m?s|min).* %$/m);
    const page = readFileSync(join(root, "race", "report.html"), "utf8");
    // What the report says to type is understood, and repeats the race.
    const [, command] = /<pre><code>thalweg (race .*?)<\/code>/.exec(page)!;
    const again = thalweg(root, [...command!.split(" "), "--json", "--out", "again"]);
    const steps = (scores: { label: string; steps: { median: number } }[]) =>
      scores.map(({ label, steps: { median } }) => [label, median]);
    expect(steps(JSON.parse(again.stdout).scores)).toEqual(
      steps(JSON.parse(readFileSync(join(root, "race", "scores.json"), "utf8"))),
    );
  });
  it("prints JSON alone with --json, and makes its own folder", () => {
    const { code, stdout } = thalweg(root, [
      "race",
      table,
      "-o",
      "sgd",
      "--seeds",
      "1",
      "--steps",
      "20",
      "--json",
    ]);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      settings: { seeds: [0], limits: { steps: 20 } },
      environment: { threads: 1 },
    });
    expect(existsSync(join(root, result.report))).toBe(true);
    expect(readdirSync(join(root, "thalweg-runs"))).toHaveLength(1);
  });
});

describe("thalweg train", () => {
  it("tells which parameters lie in which block, and at the end everything it knows", () => {
    const short = ["train", table, "-o", "kfac:damping=0.5", "--steps", "30", "--target", "none"];
    const { code, stdout, stderr } = thalweg(root, [...short, "--out", "kfac"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/What kfac treats how: .* KiB/);
    expect(stderr).toMatch(/layers\.1 +96 +A ⊗ G +3 × 32 +\S+ KiB +dense with bias/);
    expect(stdout).toMatch(/damping +0\.5 +0\.5\n/);
    expect(stdout).toMatch(/learningRate +\S+ +—\n/);
    expect(stdout).toMatch(/^inversion +\S+ m?s +\S+ %/m);
    expect(stdout).toMatch(/^factors +3 +0\.1$/m);
    expect(stdout).toMatch(/^damping +0\.5 +0\.5 +0\.5 +0\.5 +30$/m);
    expect(stdout).toMatch(/^accepted +true 30$/m);
    expect(stdout).toContain("The step limit was reached.");
    const page = readFileSync(join(root, "kfac", "report.html"), "utf8");
    for (const text of ["What kfac treats how", "Options of kfac", "What the steps told", "A ⊗ G"])
      expect(page).toContain(text);
    const brief = thalweg(root, [...short, "--out", "brief", "--report", "brief"]);
    expect(brief.stdout).toMatch(/^The step limit was reached\./);
    const wrong = thalweg(root, [...short, "--out", "none", "--report", "long"]);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining('--report is "long"; use full or brief'),
    ]);
  });
  const long = [
    "train",
    table,
    "--steps",
    "20000",
    "--checkpoint-every",
    "100",
    "--evaluate-every",
    "50",
    "--target",
    "none",
  ];
  beforeAll(() => {
    expect(thalweg(root, [...long, "--out", "whole"]).code).toBe(0);
  });

  it("killed and resumed ends with the very same bits", async () => {
    const { child, ended } = startThalweg(root, [
      ...long.map((a) => (a === "20000" ? "100000000" : a)),
      "--out",
      "killed",
    ]);
    await untilCheckpoint("killed");
    child.kill("SIGKILL");
    expect((await ended).code).toBeNull();
    expect(readRun(join(root, "killed")).result).toBeUndefined();
    expect(thalweg(root, ["train", "--resume", "killed", "--steps", "20000"]).code).toBe(0);
    const { result, measurements } = readRun(join(root, "killed"));
    // Killed beyond the last step of the other, there would be nothing to compare.
    expect(result!.steps).toBe(20000);
    expect(arraysIn("killed")).toEqual(arraysIn("whole"));
    const without = (list: typeof measurements) => list.map(({ seconds, phases, ...rest }) => rest);
    expect(without(measurements)).toEqual(without(readRun(join(root, "whole")).measurements));
  });

  it("stops at Ctrl-C, keeps what it has, and says how to go on", async () => {
    const { child, ended } = startThalweg(root, [
      "train",
      "digits-mlp",
      "--steps",
      "1000000",
      "--target",
      "none",
      "--evaluate-every",
      "10",
      "--out",
      "stopped",
    ]);
    while (!existsSync(join(root, "stopped", "metrics.jsonl")))
      await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(130);
    expect(stdout).toContain("The run was interrupted; it can be resumed.");
    expect(stderr).toContain("go on with: thalweg train --resume stopped");
    const { result } = readRun(join(root, "stopped"));
    expect(result!.reason).toBe("interrupted");
    expect(existsSync(join(root, "stopped", "lock"))).toBe(false);
    const more = String(result!.steps + 20);
    const resumed = thalweg(root, ["train", "--resume", "stopped", "--steps", more, "--json"]);
    expect(JSON.parse(resumed.stdout).result).toMatchObject({ reason: "steps", steps: Number(more) });
    const back = thalweg(root, ["train", "--resume", "stopped", "--steps", "1"]);
    expect([back.code, back.stderr]).toEqual([
      2,
      expect.stringMatching(/^error: --steps is 1, and the run in "stopped" is at step [\d,]+; give more/),
    ]);
  });

  it("goes on without the target that it had", async () => {
    const begun = ["train", table, "--target", "loss=100", "--out", "targeted"];
    expect((await thalwegHere(root, begun)).stdout).toContain("The target was reached.\n0 steps");
    const resumed = ["train", "--resume", "targeted", "--target", "none", "--steps", "5"];
    expect((await thalwegHere(root, resumed)).stdout).toContain("The step limit was reached.\n5 steps");
    expect(readRun(join(root, "targeted")).settings.limits).toEqual({ steps: 5 });
  });

  it("does the same on both backends up to rounding", () => {
    const short = ["train", table, "--steps", "20", "--target", "none"];
    const losses = ["native", "portable"].map((backend) => {
      const { code, stderr } = thalweg(root, [...short, "--backend", backend, "--out", backend], {
        THALWEG_BLAS: undefined,
      });
      if (backend === "native" && /no native BLAS/.test(stderr)) return undefined;
      expect(code).toBe(0);
      return readRun(join(root, backend)).measurements.at(-1)!.test.loss!;
    });
    if (losses[0] !== undefined) expect(losses[0]).toBeCloseTo(losses[1]!, 5);
  });
});

describe("thalweg probe", () => {
  it("measures curvature and noise at the start and at a run's checkpoint", () => {
    const args = ["--batch", "16", "--batches", "2", "--top", "3"];
    const start = thalweg(root, ["probe", table, ...args, "--json"]);
    expect(start.code).toBe(0);
    const probe = JSON.parse(start.stdout);
    expect(probe).toMatchObject({ kind: "hessian", examples: 32 });
    expect(probe.eigenvalues).toHaveLength(3);
    const largest = probe.eigenvalues[0].value;
    for (const { eigenvalues, size } of probe.layers) {
      expect(eigenvalues).toHaveLength(Math.min(3, size));
      expect(eigenvalues).toEqual(eigenvalues.toSorted((a: number, b: number) => b - a));
      expect(eigenvalues[0]).toBeLessThanOrEqual(largest * (1 + 1e-6));
    }
    const total = probe.layers.reduce(
      (sum: number, layer: { trace: { value: number } }) => sum + layer.trace.value,
      0,
    );
    expect(total).toBeCloseTo(probe.trace.value, 3);

    const run = ["train", table, "--steps", "300", "--out", "probed"];
    expect(thalweg(root, run).code).toBe(0);
    const trained = thalweg(root, ["probe", "--run", "probed", "--kind", "gaussNewton", ...args, "--json"]);
    const after = JSON.parse(trained.stdout);
    expect(after.loss).toBeLessThan(probe.loss);
    expect(after.condition.smallest).toBeGreaterThan(-1e-4 * after.condition.largest);
    const shown = thalweg(root, ["probe", table, ...args, "--out", "probe.html"]);
    const page = readFileSync(join(root, "probe.html"), "utf8");
    for (const text of ["noise scale", "trace", "argest eigenvalues", "layers.1.weight", "condition"]) {
      expect(shown.stdout).toContain(text);
      expect(page).toContain(text);
    }
    // One file that asks for no other, with a picture, for the dark and for paper.
    expect(page).toContain('<polyline class="line"');
    expect(page).not.toMatch(/(src|href)="(?!data:|#)/);
    expect(page).not.toContain("NaN");
    for (const media of ["prefers-color-scheme:dark", "@media print", "width=device-width"])
      expect(page).toContain(media);
    const [command] = page.match(/thalweg probe [^<]+/)!;
    expect(command).toContain("--top 3 --out probe.html");
    const refused = thalweg(root, ["probe", table, ...args, "--out", "missing/probe.html"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('"missing/probe.html" cannot be written');
  });
});

describe("other commands", () => {
  it("probe takes a function of its parameters alone as it is", async () => {
    const { code, stdout } = await thalwegHere(root, ["probe", "quadratic", "--top", "1"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Hessian of 100 parameters");
  });
  it("probe takes all examples where they are fewer than its batch", async () => {
    const { code, stdout } = await thalwegHere(root, [
      "probe",
      table,
      "--batches",
      "2",
      "--top",
      "1",
      "--json",
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).examples).toBe(2 * 64);
  });
  it("help fits into 80 columns, of every command", async () => {
    for (const args of [[], ["race"], ["train"], ["advise"], ["costs"], ["recommend"], ["meta-train"]]) {
      const { stdout } = await thalwegHere(root, [...args, "--help"]);
      expect(stdout).toContain("Options:");
      expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
    }
  });
  it("help shows examples and exit codes", () => {
    const { code, stdout } = thalweg(root, ["--help"]);
    expect(code).toBe(0);
    for (const text of ["race", "train", "list", "info", "Examples:", "Exit codes:"])
      expect(stdout).toContain(text);
    expect(thalweg(root, ["race", "--help"]).stdout).toContain("--optimizer <name:settings...>");
  });
  it("version is the package's", () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(thalweg(root, ["--version"]).stdout.trim()).toBe(version);
  });
  it("list names every problem and optimizer, and the options of one", async () => {
    const all = (await thalwegHere(root, ["list"])).stdout;
    for (const name of ["digits-mlp", "fashion-cnn", "table", "sgd", "adamw"]) expect(all).toContain(name);
    expect((await thalwegHere(root, ["list", "adamw"])).stdout).toBe(
      (await thalwegHere(root, ["optimizers", "adamw"])).stdout,
    );
    expect(JSON.parse((await thalwegHere(root, ["list", "table", "--json"])).stdout).options[0].name).toBe(
      "file",
    );
  });
  it("optimizers shows the catalogue by family, and all about one", async () => {
    const all = (await thalwegHere(root, ["optimizers"])).stdout;
    for (const title of ["first order ", "second order ", "adafactor ", "kfac "])
      expect(all).toContain(title);
    const { stdout } = await thalwegHere(root, ["optimizers", "kfac"]);
    expect(stdout).toContain("Martens & Grosse 2015");
    expect(stdout).toMatch(/inverses +Σ in² \+ out² +649,350 numbers/);
    expect(stdout).toMatch(/damping +0\.1 +0\.001 – 1 \(log\) +high +a number above 0/);
    const [first] = JSON.parse((await thalwegHere(root, ["optimizers", "--json"])).stdout);
    expect(first).toMatchObject({
      name: "sgd",
      family: "first order",
      costs: { evaluations: { gradients: 1 } },
    });
    const one = JSON.parse((await thalwegHere(root, ["optimizers", "sgd", "--json"])).stdout);
    expect(one).toEqual(first);
    expect(one.settings[0]).toMatchObject({
      name: "learningRate",
      kind: "number",
      typical: { from: 0.01, to: 1 },
    });
  });
  it("info measures this machine", () => {
    const { code, stdout } = thalweg(root, ["info", "--json"]);
    expect(code).toBe(0);
    const { speeds, threads, backend } = JSON.parse(stdout);
    expect(threads).toBe(1);
    expect(["native", "portable"]).toContain(backend);
    for (const { gigaflops } of speeds) expect(gigaflops).toBeGreaterThan(0.1);
  });
  it("a reader that goes away is no failure", async () => {
    const { child, ended } = startThalweg(root, ["list", "--json"]);
    child.stdout.destroy();
    expect((await ended).stderr).toBe("");
  });
});

describe("thalweg noise", () => {
  it("measures noise by size of batch, and what it means for each method", async () => {
    const args = ["noise", table, "--batches", "8", "--smallest", "4", "--steps", "16"];
    const { code, stdout } = await thalwegHere(root, args);
    expect(code).toBe(0);
    expect(stdout).toContain("Smallest batches that follow");
    expect(stdout).toContain("Staleness in a training by adam");
    const json = JSON.parse((await thalwegHere(root, [...args, "--json"])).stdout);
    expect(json.quantities[0].sizes.map((size: { batch: number }) => size.batch)).toEqual([4, 8, 16]);
    expect(json.drift[0].changes).toHaveLength(8);
  });
  it("refuses what cannot be measured", async () => {
    expect(await thalwegHere(root, ["noise", table, "--batches", "12"])).toMatchObject({ code: 1 });
    const { code, stderr } = await thalwegHere(root, ["noise", table, "--decay", "1.5"]);
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('--decay is "1.5"; use a number between 0 and 1'),
    ]);
  });
});

describe("thalweg tune", () => {
  const args = ["tune", table, "sgd", "--trials", "4", "--steps", "40", "--evaluate-every", "10"];
  it("ranks trials, says the best one, and goes on where it was", () => {
    const { code, stdout } = thalweg(root, [...args, "--out", "search", "--over", "learningRate=0.001..0.1"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^best: -o sgd/m);
    const resumed = thalweg(root, ["tune", "--resume", "search", "--sensitivity", "--json"]);
    const { trials, sensitivity } = JSON.parse(resumed.stdout);
    expect(trials).toHaveLength(5);
    expect(sensitivity[0].points).toHaveLength(5);
  });
  it("says that no trial reached the target, or that all diverged", async () => {
    const one = ["tune", table, "--trials", "0", "--steps", "4", "--target", "loss=1e-9"];
    expect((await thalwegHere(root, [...one, "--out", "missed"])).stdout).toMatch(
      /^No trial reached test loss 1e-9\.\nbest: -o adam$/m,
    );
    const far = one.toSpliced(2, 0, "sgd:learningRate=1e30");
    expect((await thalwegHere(root, [...far, "--out", "far"])).stdout).toMatch(/^Every trial diverged/m);
  });
  it("refuses what cannot be searched, before a file is written", async () => {
    const { code, stderr } = await thalwegHere(root, [...args, "--over", "schedule"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("schedule is no number")]);
    expect((await thalwegHere(root, [...args, "--out", "search"])).stderr).toContain(
      "already holds a search",
    );
  });
});

describe("thalweg costs", () => {
  it("counts every method on a list of widths, and names what cannot be done", async () => {
    const { code, stdout } = await thalwegHere(root, [
      "costs",
      "784-1000-500-10",
      "--batch",
      "256",
      "--workers",
      "8",
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain("1,290,510 parameters in 3 layers");
    expect(stdout).toMatch(/^\(!\) newton: needs 6.66 TB/m);
  });
  it("counts the programs of a problem", async () => {
    const { stdout } = await thalwegHere(root, [
      "costs",
      table,
      "--hardware",
      "h100",
      "-o",
      "adam",
      "--json",
    ]);
    const { costs, model } = JSON.parse(stdout);
    expect(costs[0].minimumBatch).toBe(0);
    expect(model.notes[0]).toContain("counted from the programs");
    expect(costs[0]).toMatchObject({ method: "adam", fits: true, infeasible: [] });
  });
  it("counts sequences of the tokens that are given, and batches that curvature needs", async () => {
    const config = join(root, "config.json");
    writeFileSync(
      config,
      '{"model_type":"gpt2","vocab_size":100,"n_positions":64,"n_embd":16,"n_layer":2,"n_head":2}',
    );
    const of = async (...flags: string[]) =>
      JSON.parse(
        (await thalwegHere(root, ["costs", config, "-o", "kfac", "-o", "lbfgs", "--json", ...flags])).stdout,
      );
    const [short, long] = [await of("--tokens", "8"), await of()];
    expect(short.model.example).toBe("sequence of 8 tokens");
    expect(long.model.example).toBe("sequence of 64 tokens");
    expect(short.costs[0].minimumBatch).toBeGreaterThan(0);
    expect(short.costs[0].minimumBatch).toBeGreaterThanOrEqual(long.costs[0].minimumBatch);
    expect(short.costs[1].minimumBatch).toBeUndefined();
    expect((await thalwegHere(root, ["costs", config, "--tokens", "65"])).stderr).toContain(
      "longer than the model's 64",
    );
  });
  it.each([
    ["model.safetensors", '"dtype":"F32","shape":[0],"data_offsets":[0,0]', ""],
    ["model.safetensors.index.json", "", '"weight_map":'],
  ])("refuses %s of a million arrays within a heap of 160 MB", (name, entry, field) => {
    const arrays = Array.from({ length: 1e6 }, (_, k) => `"a${k}":${entry ? `{${entry}}` : '"x"'}`).join();
    const text = Buffer.from(field ? `{${field}{${arrays}}}` : `{${arrays}}`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(join(root, name), field ? text : Buffer.concat([length, text]));
    expect(thalweg(root, ["costs", name], { NODE_OPTIONS: "--max-old-space-size=160" })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("more than 500,000 names: it is too large to be read"),
    });
  });
  it("says what is wrong", async () => {
    expect(await thalwegHere(root, ["costs", "nonsense"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"nonsense" is no model that can be read'),
    });
    expect((await thalwegHere(root, ["costs", "10-10", "--hardware", "h10"])).stderr).toContain(
      "did you mean h100",
    );
    for (const memory of ["much", "24", "GB"])
      expect(await thalwegHere(root, ["costs", "10-10", "--memory", memory])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("with its unit, such as 24GB"),
      });
  });
});

describe("thalweg advise and recommend", () => {
  it("a problem of the lab tells its task, its batch and whether that is all there is", async () => {
    const adviceOn = async (problem: string) =>
      JSON.parse((await thalwegHere(root, ["advise", problem, "--hardware", "cpu-2", "--json"])).stdout);
    const equation = await adviceOn("pinn-poisson");
    expect(equation.situation).toMatchObject({ task: "differential-equation", batch: 900, fullBatch: true });
    expect(equation.ranked[0].method).toBe("newton");
    const valley = await adviceOn("rosenbrock");
    expect(valley.excluded).toContainEqual({
      method: "kfac",
      because: "no layer of the model has Kronecker factors",
    });
  });
  it("rank the methods with reasons, and write a page", async () => {
    const args = [
      "advise",
      "784-1000-10",
      "--task",
      "regression",
      "--batch",
      "512",
      "--report",
      "advice.html",
    ];
    const { code, stdout } = await thalwegHere(root, args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Use [a-zA-Z]+$/m);
    expect(stdout).toContain("What would change the answer");
    expect(readFileSync(join(root, "advice.html"), "utf8")).toContain("Predicted time to a target");
    expect(JSON.parse((await thalwegHere(root, [...args, "--json"])).stdout).ranked.length).toBeGreaterThan(
      5,
    );
  });
  it("takes the task from the family of a config.json, says so, and tests the advice on what is near to it", async () => {
    const config = { model_type: "gpt2", vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12 };
    writeFileSync(join(root, "gpt2.json"), JSON.stringify(config));
    const { stdout } = await thalwegHere(root, ["advise", "gpt2.json"]);
    expect(stdout).toContain("task language-model, as the model tells; --task names another");
    expect(stdout).toContain("Test it on the nearest problem here: thalweg race moby-dick -o");
    expect(stdout).toContain("which no prediction tells apart");
    const other = await thalwegHere(root, ["advise", "gpt2.json", "--task", "fine-tuning"]);
    expect(other.stdout).not.toContain("--task names another");
  });
  it("say what is wrong with a question", async () => {
    expect(await thalwegHere(root, ["advise", "784-10", "--task", "regresion"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("did you mean regression"),
    });
    expect((await thalwegHere(root, ["advise"])).stderr).toContain("no model is given");
    expect((await thalwegHere(root, ["recommend", "--batch", "64"])).stderr).toContain(
      "--parameters is missing",
    );
  });
  it("the published procedure takes any text, and a note says what it does not know", async () => {
    const args = [
      "recommend",
      "--parameters",
      "1000000",
      "--batch",
      "64",
      "--problem",
      "visio",
      "--phase",
      "RNN",
    ];
    const { code, stdout, stderr } = await thalwegHere(root, args);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: "AdamW with cosine LR schedule\nbecause: none of the other cases applies\n",
    });
    expect(stderr).toBe(
      'note: --problem "visio" is nothing that the procedure tells apart; did you mean vision?\n',
    );
  });
  it("answer as published", async () => {
    const args = ["recommend", "--parameters", "50000000", "--batch", "256", "--phase", "early_training"];
    expect((await thalwegHere(root, args)).stdout).toContain(
      "Adam or SGD+momentum (exploration phase, curvature unreliable)",
    );
  });
});
