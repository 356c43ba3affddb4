/** What the first example of the documentation does, with either backend and all threads. */
import { expect, it } from "vitest";
import { temporaryFolder } from "../lab/folder.js";
import { thalweg } from "./command.js";

const root = temporaryFolder();

// Two threads that wait for each other take several times as long where other tests have the processors.
it("thalweg race reaches 97 % of the digits with four optimizers", () => {
  const { code, stdout } = thalweg(root, ["race", "--seeds", "1", "--json"], {
    THALWEG_THREADS: undefined,
  });
  expect(code).toBe(0);
  const { scores, settings } = JSON.parse(stdout);
  expect(settings).toMatchObject({
    problem: { name: "digits-mlp" },
    limits: { target: { metric: "accuracy", value: 0.97 } },
  });
  expect(scores.map(({ label }: { label: string }) => label).sort()).toEqual([
    "adam",
    "adamw",
    "momentum",
    "sgd",
  ]);
  for (const score of scores) expect(score).toMatchObject({ reached: 1, runs: 1 });
}, 240_000);
