import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    setupFiles: "tests/seed.ts",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Vitest leaves one processor to itself, which on a machine with two means that files run one after another.
    maxWorkers: "100%",
  },
});
