/**
 * A folder of results says in one file what it is. That file is written before anything else is there, so that whoever
 * finds the folder, this program included, knows what was asked for and can go on:
 *
 *     race.json   { "format": "thalweg-race", "version": 1, "created": "2025-11-03T…", "settings": { … }, … }
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { UserError } from "./errors.js";
import { quote, readJson, replaceJson, validate } from "./files.js";

const version = 1;

export interface FolderRecord<E extends v.ObjectEntries> {
  /** Where the folder has it. */
  path(folder: string): string;
  /** Whether the folder has one. */
  exists(folder: string): boolean;
  /** @throws UserError when the folder has one: what is there is gone on with, not begun anew. */
  requireNone(folder: string): void;
  /** Writes it into a folder that holds nothing yet but its lock. @throws UserError when something is in it. */
  begin(folder: string, contents: v.InferOutput<v.ObjectSchema<E, undefined>>): void;
  /** Writes it again, with the time of the first. */
  replace(folder: string, created: string, contents: v.InferOutput<v.ObjectSchema<E, undefined>>): void;
  /** @throws UserError when there is none or it is damaged. */
  read(folder: string): { readonly created: string } & v.InferOutput<v.ObjectSchema<E, undefined>>;
}

/**
 * The record of a kind of folder. Its file is `<kind>.json` and its format "thalweg-<kind>"; messages call it `noun`.
 *
 *     const record = folderRecord("race", { settings: raceSettingsSchema, environment: environmentSchema });
 *     record.begin("races/one", { settings, environment: describeEnvironment(runtime) });
 *     record.read("races/one").settings;
 */
export function folderRecord<E extends v.ObjectEntries>(
  kind: string,
  contents: E,
  noun = kind,
): FolderRecord<E> {
  const format = `thalweg-${kind}`;
  const file = `${kind}.json`;
  const header = v.looseObject({
    format: v.literal(format),
    version: v.literal(version),
    created: v.string(),
  });
  const body = v.object(contents);
  const path = (folder: string) => join(folder, file);
  const replace: FolderRecord<E>["replace"] = (folder, created, given) =>
    replaceJson(path(folder), { format, version, created, ...given });
  const exists = (folder: string) => existsSync(path(folder));
  const requireNone = (folder: string) => {
    if (exists(folder))
      throw new UserError(
        `"${folder}" already holds a ${noun}; go on with --resume ${quote(folder)}, or choose another folder with --out`,
      );
  };
  return {
    path,
    replace,
    exists,
    requireNone,
    begin(folder, given) {
      requireNone(folder);
      const present = readdirSync(folder).filter((name) => name !== "lock");
      if (present.length > 0)
        throw new UserError(
          `"${folder}" is not empty (it holds "${present[0]}"); choose another folder with --out`,
        );
      replace(folder, new Date().toISOString(), given);
    },
    read(folder) {
      const found = readJson(path(folder), header);
      if (found) return { created: found.created, ...validate(body, found, path(folder)) };
      throw new UserError(
        existsSync(folder)
          ? `"${folder}" holds no ${noun}: it has no ${file}; name the folder that --out made`
          : `"${folder}" does not exist; name the folder of a ${noun}`,
      );
    },
  };
}
