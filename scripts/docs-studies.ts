/**
 * npm run docs:studies [-- <folders of studies>]
 *
 * Writes the measured part of docs/studies.md, and its pictures. The records (settings, machine and points) are in
 * docs/data/studies, by name; folders that are given take their places.
 * `npx vitest run tests/scripts` fails while the page is not up to date.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { drawPicture } from "../src/lab/picture.js";
import { findStudy } from "../src/lab/studies/registry.js";
import { pointsOf, readStudy, readStudySettings, studyRecord } from "../src/lab/studies/run-study.js";
import { folderOf, recorded } from "./study-docs/recorded.js";
import { pictureOf, studiesSection } from "./study-docs/section.js";

for (const folder of process.argv.slice(2)) {
  const { study } = readStudySettings(folder);
  readStudy(folder, findStudy(study));
  mkdirSync(folderOf(study), { recursive: true });
  for (const file of [studyRecord.path, pointsOf]) copyFileSync(file(folder), file(folderOf(study)));
}
const docs = (path: string) => fileURLToPath(new URL(`../docs/${path}`, import.meta.url));
mkdirSync(docs("pictures"), { recursive: true });
for (const { study, reading } of recorded())
  for (const [k, figure] of reading.figures.entries())
    writeFileSync(docs(pictureOf(study.name, k)), drawPicture(figure));
writeFileSync(docs("studies.md"), studiesSection(readFileSync(docs("studies.md"), "utf8"), recorded()));
// Its tables as `npm run lint` wants them.
execFileSync("npx", ["biome", "format", "--write", docs("studies.md")]);
