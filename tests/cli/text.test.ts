import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { formatTable, toAscii, wrapText } from "../../src/cli/text.js";

const linesOf = (text: string) => stripVTControlCharacters(text).split("\n");

describe("a table", () => {
  const right = (title: string) => ({ title, align: "right" as const });
  const numbers = [right(""), { title: "optimizer" }, right("time"), right("steps"), right("loss")];
  const rows = [
    ["1", "adam", "1.5 s", "100", "0.25"],
    ["2", "sgd", "12 s", "20,000", "0.3"],
  ];
  it("is one where lines have room, and several that repeat what a row is about where they have not", () => {
    expect(linesOf(formatTable(numbers, rows, Number.POSITIVE_INFINITY))).toHaveLength(4);
    const narrow = linesOf(formatTable(numbers, rows, 26));
    for (const line of narrow) expect(line.length).toBeLessThanOrEqual(26);
    expect(narrow.filter((line) => line.includes("adam"))).toEqual([
      expect.stringMatching(/^1 {2}adam +1\.5 s$/),
      expect.stringMatching(/^1 {2}adam +100 {2}0\.25$/),
    ]);
  });
  it("breaks the words of its last column", () => {
    const words = "how much the loss falls in a step, by the model";
    const lines = linesOf(formatTable([{ title: "name" }, { title: "what" }], [["ratio", words]], 32));
    expect(lines.slice(2)).toEqual(["ratio  how much the loss falls", "       in a step, by the model"]);
  });
  it("breaks them too where they stand in a second table", () => {
    const columns = [{ title: "name" }, { title: "values" }, { title: "" }];
    const row = ["schedule", "cosine, linear", "how the learning rate changes as steps go on"];
    const lines = linesOf(formatTable(columns, [row], 32));
    expect(lines.slice(-2)).toEqual(["schedule  how the learning rate", "          changes as steps go on"]);
  });
});

it("text for terminals without unicode is ASCII", () => {
  expect(toAscii("2.9·10⁻¹¹ FLOP, n² ≤ √κ, λ₁ — η")).toBe(
    "2.9*10^-11 FLOP, n^2 <= sqrt kappa, lambda1 - eta",
  );
});

it("words are broken between them only", () => {
  expect(wrapText("a incomprehensibilities b", 10).split("\n")).toEqual(["a", "incomprehensibilities", "b"]);
});
