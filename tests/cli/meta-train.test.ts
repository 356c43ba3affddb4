import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../lab/folder.js";
import { thalwegHere } from "./command.js";

test("what cannot be is refused in one line", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "w.safetensors"), "nothing");
  const refused = async (...args: string[]) => {
    const { code, stderr, stdout } = await thalwegHere(folder, ["meta-train", ...args]);
    expect(stdout).toBe("");
    expect(stderr.trim().split("\n")).toHaveLength(1);
    return { code, message: stderr.trim() };
  };
  expect(await refused("--sigma", "0")).toEqual({
    code: 2,
    message: 'error: --sigma is "0"; use a number above 0',
  });
  expect(await refused("--resume", "there", "--pairs", "4")).toMatchObject({ code: 2 });
  expect(await refused("--resume", "there")).toMatchObject({
    code: 1,
    message: expect.stringContaining("does not exist; name the folder of a meta-training"),
  });
  expect(await refused("--compare", "w.safetensors")).toMatchObject({
    code: 1,
    message: expect.stringContaining("are no safetensors file"),
  });
});
