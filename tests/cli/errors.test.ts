import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { encodeIdx } from "../../src/data/idx.js";
import { temporaryFolder, writeTable } from "../lab/folder.js";
import { thalweg, thalwegHere } from "./command.js";

const root = temporaryFolder();
const table = "table:file=table.csv,target=y";

/** Four IDX files of a few 4×4 images; the changes replace some. */
function writeImages(name: string, changes: Readonly<Record<string, Uint8Array>> = {}): void {
  const images = (count: number) =>
    encodeIdx(
      [count, 4, 4],
      Uint8Array.from({ length: count * 16 }, (_, i) => i % 251),
    );
  const labels = (count: number) =>
    encodeIdx(
      [count],
      Uint8Array.from({ length: count }, (_, i) => i % 10),
    );
  const files: Record<string, Uint8Array> = {
    "train-images-idx3-ubyte": images(128),
    "train-labels-idx1-ubyte": labels(128),
    "t10k-images-idx3-ubyte": images(20),
    "t10k-labels-idx1-ubyte": labels(20),
    ...changes,
  };
  mkdirSync(join(root, name));
  for (const [file, content] of Object.entries(files)) writeFileSync(join(root, name, file), content);
}

beforeAll(() => {
  writeTable(root);
  writeFileSync(join(root, "ragged.csv"), "a,b\n1,2\n3\n");
  writeFileSync(join(root, "file"), "no folder");
  writeImages("good");
  const whole = encodeIdx([128, 4, 4], new Uint8Array(128 * 16));
  writeImages("cut", { "train-images-idx3-ubyte": whole.subarray(0, 1000) });
  writeImages("cut-gzip", { "train-images-idx3-ubyte": gzipSync(whole).subarray(0, 20) });
  writeImages("pair", { "train-labels-idx1-ubyte": encodeIdx([127], new Uint8Array(127)) });
  writeImages("shape", {
    "t10k-images-idx3-ubyte": encodeIdx([20, 5, 4], new Uint8Array(400)),
  });
});

/** What is wrong: arguments, exit code, and what the one line says (value and remedy). */
const mistakes: [string, string[], number, RegExp, NodeJS.ProcessEnv?][] = [
  ["an unknown data set", ["train", "digit-mlp"], 1, /no problem "digit-mlp"; did you mean digits-mlp\?/],
  [
    "a suite of what is neither a problem nor an optimizer",
    ["suite", "--only", "rosenbrok", "adam"],
    1,
    /no problem or optimizer "rosenbrok"; did you mean rosenbrock\?/,
  ],
  ["an unknown study", ["study", "swich"], 1, /no study "swich"; did you mean switch\?/],
  [
    "flags without a study",
    ["study", "--quick"],
    2,
    /--quick is given without a study; name one of condition/,
  ],
  ["a study to go on with that is none", ["study", "--resume", "good"], 1, /"good" holds no study/],
  [
    "a study beside one to go on with",
    ["study", "batch", "--resume", "good"],
    2,
    /"batch" is given beside --resume/,
  ],
  ["an unknown optimizer", ["race", table, "-o", "adm"], 1, /no optimizer "adm"; did you mean adam/],
  [
    "an unknown setting",
    ["train", table, "-o", "adam:lr=1"],
    1,
    /no setting "lr"; did you mean learningRate\?/,
  ],
  [
    "a setting out of range",
    ["train", table, "-o", "adam:beta1=2"],
    1,
    /beta1 is "2"; use a number from 0 to below 1/,
  ],
  [
    "an unknown setting of a part",
    ["train", table, "-o", "switchTo:first=sgd,first.lr=1"],
    1,
    /switchTo: there is no setting "first.lr"; did you mean first.learningRate\?/,
  ],
  [
    "an unknown part",
    ["race", table, "-o", "periodic:outer=newten"],
    1,
    /periodic, outer: there is no optimizer "newten"; did you mean newton\?/,
  ],
  [
    "a part's setting out of range",
    ["train", table, "-o", "groups:rest.beta1=2"],
    1,
    /groups: rest.beta1 is "2"; use a number from 0 to below 1 \(default 0.9\)/,
  ],
  [
    "an unknown problem option",
    ["train", `${table},hiden=3`],
    1,
    /no setting "hiden"; did you mean hidden\?/,
  ],
  ["an unknown option", ["train", "--stps", "3"], 2, /unknown option '--stps'/],
  ["an unknown command", ["trian"], 2, /unknown command 'trian'/],
  ["too many arguments", ["train", "a", "b"], 2, /too many arguments/],
  ["a name that is none", ["train", "=3"], 2, /"=3" begins with no name; write name or name:setting=value/],
  [
    "a setting without a value",
    ["train", `${table}`, "-o", "adam:fast"],
    2,
    /"fast" in "adam:fast" is no setting/,
  ],
  ["a setting given twice", ["train", table, "-o", "adam:beta1=0.1,beta1=0.2"], 2, /sets beta1 twice/],
  ["a missing column", ["train", "table:file=table.csv,target=z"], 1, /no column "z"; it has "a", "b", "y"/],
  [
    "a missing file",
    ["train", "table:file=none.csv,target=z"],
    1,
    /"none.csv" cannot be read \(ENOENT\); check/,
  ],
  ["a ragged table", ["train", "table:file=ragged.csv,target=a"], 1, /row 3 has 1 fields, its header 2/],
  [
    "a missing directory",
    ["train", "images-mlp:directory=nowhere"],
    1,
    /"nowhere" has no train-images-idx3-ubyte/,
  ],
  [
    "a truncated IDX file",
    ["train", "images-mlp:directory=cut"],
    1,
    /cut\/train-images-idx3-ubyte".*(1000|984)/,
  ],
  [
    "a truncated gzip file",
    ["train", "images-mlp:directory=cut-gzip"],
    1,
    /cut-gzip\/train-images-idx3-ubyte/,
  ],
  [
    "images and labels of different counts",
    ["train", "images-mlp:directory=pair"],
    1,
    /shape \[127\] for 128 images/,
  ],
  [
    "training and test images of different shapes",
    ["train", "images-mlp:directory=shape"],
    1,
    /\[5, 4, 1\].*\[4, 4, 1\]|\[4, 4, 1\].*\[5, 4, 1\]/,
  ],
  [
    "a network that does not fit its images",
    ["train", "images-cnn:directory=good,channels=2-2-2-2"],
    1,
    /maxPool2d|window/,
  ],
  [
    "a batch larger than the data",
    ["train", table, "--batch", "999"],
    1,
    /a batch of 999 from \d+ examples; use 1 to/,
  ],
  [
    "a loss that becomes NaN",
    ["train", table, "-o", "sgd:learningRate=1e20"],
    1,
    /sgd diverged at step \d+: the loss is (NaN|Infinity).*learningRate=1e\+19,clipNorm=1/,
  ],
  [
    "a number that is none",
    ["train", "--steps", "many"],
    2,
    /--steps is "many"; use a whole number of at least 1/,
  ],
  ["no seeds", ["race", "--seeds", "0"], 2, /--seeds is "0"; use a whole number of at least 1/],
  ["a target that cannot be", ["train", "--target", "120%"], 2, /--target is "120%"; an accuracy is above 0/],
  [
    "a percentage of what is no accuracy",
    ["train", table, "--target", "97%"],
    2,
    /--target is "97%"; use metric=value with one of loss/,
  ],
  [
    "a metric that is not measured",
    ["train", table, "--target", "accuracy=1"],
    2,
    /use metric=value with one of loss/,
  ],
  ["a time that is none", ["train", "--seconds", "-1"], 2, /--seconds is "-1"; use a number above 0/],
  ["too many threads", ["train", "--threads", "65"], 2, /--threads is 65; use at most 64/],
  ["an unknown backend", ["train", "--backend", "gpu"], 2, /--backend is "gpu"; use native or portable/],
  [
    "a folder below a file",
    ["train", table, "--out", "file/run"],
    1,
    /"file\/run" is a file, not a folder; choose another folder with --out/,
  ],
  [
    "a file as the folder",
    ["train", table, "--out", "file"],
    1,
    /"file" is a file; choose another folder with --out/,
  ],
  [
    "a folder that cannot be made",
    ["race", table, "--out", "/proc/thalweg/run"],
    1,
    /"\/proc\/thalweg\/run".*choose another folder with --out/,
  ],
  [
    "a folder that does not exist",
    ["train", "--resume", "none"],
    1,
    /"none" does not exist; name the folder of a run/,
  ],
  ["a folder without a run", ["train", "--resume", "good"], 1, /"good" holds no run/],
  ["a folder without a race", ["race", "--resume", "good"], 1, /"good" holds no race/],
  ["a problem beside --resume", ["train", table, "--resume", "good"], 2, /given beside --resume/],
  [
    "a seed beside --resume",
    ["race", "--seed", "3", "--resume", "good"],
    2,
    /--seed is given beside --resume/,
  ],
  [
    "an unknown curvature",
    ["probe", table, "--kind", "hesse"],
    2,
    /--kind is "hesse"; use hessian, gaussNewton/,
  ],
  [
    "a single batch to probe",
    ["probe", table, "--batches", "1"],
    2,
    /--batches is "1"; use a whole number of at least 2/,
  ],
  ["a folder without a run to probe", ["probe", "--run", "good"], 1, /"good" holds no run/],
  ["nothing to compare", ["compare"], 2, /name folders of races or runs/],
  ["a folder to compare that has no run", ["compare", "good"], 1, /"good" holds neither a race nor a run/],
  ["a folder to compare that is none", ["compare", "none"], 1, /"none" does not exist; name folders/],
  [
    "a line of one point",
    ["compare", "good", "--points", "1"],
    2,
    /--points is "1"; use a whole number of at least 2/,
  ],
  ["an unknown optimizer to show", ["optimizers", "adamm"], 1, /no optimizer "adamm"; did you mean adam/],
  ["an unknown name to list", ["list", "adamm"], 1, /no problem or optimizer "adamm"; did you mean adam/],
  [
    "a BLAS that is none",
    ["train", table],
    1,
    /THALWEG_BLAS names "\/none.so".*THALWEG_BLAS=portable/,
    { THALWEG_BLAS: "/none.so" },
  ],
  [
    "threads that are none",
    ["train", table],
    1,
    /THALWEG_THREADS is "two"; use a whole number/,
    { THALWEG_THREADS: "two" },
  ],
  [
    "noise where there are no examples",
    ["noise", "quadratic"],
    1,
    /quadratic is a function of its parameters alone: it has no examples/,
  ],
  [
    "Fashion-MNIST that is not there",
    ["train", "fashion-mlp"],
    1,
    /Fashion-MNIST is not at "\/none"; install it/,
    { THALWEG_FASHION_MNIST: "/none" },
  ],
];

describe("a mistake is one line that names the value and the remedy", () => {
  it.each(mistakes)("%s", async (_, args, code, expected, environment) => {
    const outcome = await thalwegHere(root, args, environment);
    expect(outcome.stderr).toMatch(expected);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).not.toMatch(/^\s+at |node:internal|defect/m);
    expect(outcome.stderr.split("\n").filter((line) => line.startsWith("error:"))).toHaveLength(1);
  });
  it.each([
    "an unknown data set",
    "an unknown option",
    "a name that is none",
    "a loss that becomes NaN",
    "a BLAS that is none",
  ])("the built command says the same: %s", async (name) => {
    const [, args, , , environment] = mistakes.find(([mistake]) => mistake === name)!;
    const { code, stderr } = await thalwegHere(root, args, environment);
    expect(thalweg(root, args, environment)).toMatchObject({ code, stderr });
  });
  it("and with --debug the place it came from", () => {
    const { code, stderr } = thalweg(root, ["--debug", "train", "digit-mlp"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^\s+at /m);
  });
  it("leaves no folder behind where nothing could begin", async () => {
    const race = ["race", table, "-o", "adam:beta1=2", "--out", "never"];
    expect((await thalwegHere(root, race)).code).toBe(1);
    expect((await thalwegHere(root, ["train", "--resume", "never"])).stderr).toMatch(
      /"never" does not exist/,
    );
  });
});
