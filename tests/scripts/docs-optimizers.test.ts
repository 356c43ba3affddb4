import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { indexOf, pageOf } from "../../scripts/optimizer-docs/page.js";
import { type Method, optimizers } from "../../src/optimizers/index.js";

const folder = new URL("../../docs/optimizers/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, folder), "utf8");

test.each<[string, Method]>(Object.entries(optimizers))("the page of %s is up to date", (name, method) => {
  const page = read(`${name}.md`);
  expect(page === pageOf(method, page), "run: npm run docs:optimizers").toBe(true);
  expect(page).toContain("## When it helps, when it hurts, how to tune it");
  expect(existsSync(new URL(`pictures/${name}.svg`, folder))).toBe(true);
});
test("the index is up to date", () => {
  const index = read("README.md");
  expect(index === indexOf(index), "run: npm run docs:optimizers").toBe(true);
});
