import { join } from "node:path";
import { expect, it } from "vitest";
import { readSuiteSettings } from "../../src/lab/suite/record.js";
import { temporaryFolder } from "../lab/folder.js";
import { thalwegHere } from "./command.js";

const root = temporaryFolder();

it("a suite has what --only names once, however often it is named", async () => {
  const only = ["rosenbrock", "rosenbrock", "newton", "newton"];
  const { code, stdout } = await thalwegHere(root, [
    "suite",
    "--only",
    ...only,
    "--trials",
    "1",
    "--threads",
    "1",
    "--out",
    "once",
  ]);
  expect([code, stdout]).toEqual([0, expect.stringContaining("Only newton takes part.")]);
  const { problems, optimizers } = readSuiteSettings(join(root, "once"));
  expect([problems.map(({ id }) => id), optimizers.map(({ name }) => name)]).toEqual([
    ["rosenbrock"],
    ["newton"],
  ]);
});
