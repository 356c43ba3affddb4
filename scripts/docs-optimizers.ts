/**
 * npm run docs:optimizers [-- --no-pictures]
 *
 * Writes the generated parts of docs/optimizers: a page a method, the index, and the pictures. What is written by hand
 * stays. `npx vitest run tests/scripts` fails while a page is not up to date.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type Method, optimizers } from "../src/optimizers/index.js";
import { createRuntime } from "../src/runtime/runtime.js";
import { indexOf, pageOf } from "./optimizer-docs/page.js";
import { drawWalk } from "./optimizer-docs/picture.js";
import { bestWalk } from "./optimizer-docs/valley.js";

const folder = new URL("../docs/optimizers/", import.meta.url);
mkdirSync(new URL("pictures/", folder), { recursive: true });
const update = (name: string, next: (before: string) => string) => {
  const file = new URL(name, folder);
  writeFileSync(file, next(existsSync(file) ? readFileSync(file, "utf8") : ""));
};

const methods: readonly Method[] = Object.values(optimizers);
for (const method of methods) update(`${method.name}.md`, (before) => pageOf(method, before));
update("README.md", indexOf);
if (!process.argv.includes("--no-pictures")) {
  const runtime = await createRuntime({ threads: 1 });
  for (const method of methods)
    update(`pictures/${method.name}.svg`, () => drawWalk(method.name, bestWalk(runtime, method)));
  await runtime.close();
}
