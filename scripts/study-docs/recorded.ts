/** The studies that docs/studies.md shows, each in a folder of docs/data/studies with its name. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { studies } from "../../src/lab/studies/registry.js";
import { readStudy, type StudyRecord, studyRecord } from "../../src/lab/studies/run-study.js";

export const folderOf = (study: string): string =>
  fileURLToPath(new URL(`../../docs/data/studies/${study}`, import.meta.url));

/** In the order of the catalogue of studies. */
export const recorded = (): StudyRecord[] =>
  studies
    .filter(({ name }) => existsSync(studyRecord.path(folderOf(name))))
    .map((study) => readStudy(folderOf(study.name), study));
