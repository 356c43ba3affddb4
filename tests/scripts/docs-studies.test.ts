import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { recorded } from "../../scripts/study-docs/recorded.js";
import { pictureOf, studiesSection } from "../../scripts/study-docs/section.js";
import { drawPicture } from "../../src/lab/picture.js";
import { studies } from "../../src/lab/studies/registry.js";
import { bare } from "./bare.js";

const read = (path: string) => readFileSync(new URL(`../../docs/${path}`, import.meta.url), "utf8");

test("every study is measured, to its end, at full size", () => {
  expect(recorded().map(({ study, settings, left }) => [study.name, settings.extent, left])).toEqual(
    studies.map(({ name }) => [name, "full", 0]),
  );
});
test("the page of the studies is what their data says", () => {
  const page = read("studies.md");
  expect(bare(page) === bare(studiesSection(page, recorded())), "run: npm run docs:studies").toBe(true);
});
test("so are its pictures", () => {
  for (const { study, reading } of recorded())
    for (const [k, figure] of reading.figures.entries())
      expect(read(pictureOf(study.name, k)) === drawPicture(figure), "run: npm run docs:studies").toBe(true);
});
