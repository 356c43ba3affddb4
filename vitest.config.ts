import { defineConfig } from "vitest/config";

/**
 * What no backend takes part in: commands, which are text, files, exit codes and signals around the lab (tested in
 * tests/lab; `commands` compares both backends, and the race on the digits is with the numbers), and readers of models.
 * `npm test` leaves these out when it repeats the tests with the portable backend; `npm run test:portable` does not.
 */
const words = ["tests/cli/!(race-digits).test.ts", "tests/advisor/read/*.test.ts"];
/** Where a module is replaced for the file alone. */
const mocks = ["tests/optimizers/costs.test.ts"];

const shared = {
  setupFiles: "tests/seed.ts",
  testTimeout: 60_000,
  hookTimeout: 60_000,
  // Half a second a file is spent on a process and modules of its own.
  isolate: false,
};

export default defineConfig({
  test: {
    // Vitest leaves one processor to itself, which on a machine with two means that files run one after another.
    maxWorkers: "100%",
    projects: [
      { test: { ...shared, name: "words", include: words } },
      { test: { ...shared, name: "mocks", include: mocks, isolate: true } },
      {
        test: {
          ...shared,
          name: "numbers",
          include: ["tests/**/*.test.ts"],
          exclude: [...words, ...mocks],
        },
      },
    ],
  },
});
