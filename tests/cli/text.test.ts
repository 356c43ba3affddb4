import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { formatTable, wrapText } from "../../src/cli/text.js";

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
});

it("words are broken between them only", () => {
  expect(wrapText("a incomprehensibilities b", 10).split("\n")).toEqual(["a", "incomprehensibilities", "b"]);
});
