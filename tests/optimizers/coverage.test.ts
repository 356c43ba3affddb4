/** What trainings say of their parameters: complete, and with the memory that they keep. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { createOptimizer } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { networks, using } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

/** What is kept for blocks: everything beside vectors as long as θ, and scalars. */
const ofBlocks = {
  kfac: /^(factor|inverse|cross|psi|K|s)\./,
  ekfac: /^(factor|basis|moments|inverse)\./,
  shampoo: /^(statistics|root)\./,
  soap: /^(statistics|basis)\./,
};

test.each(Object.entries(ofBlocks))("%s: every parameter once, every byte", (name, kept) => {
  for (const network of Object.values(networks))
    using(runtime, network, (objective) => {
      const training = createOptimizer(name).start(objective);
      const coverage = training.coverage!;
      const sum = (of: (row: (typeof coverage)[number]) => number) =>
        coverage.reduce((total, row) => total + of(row), 0);
      expect(sum(({ size }) => size)).toBe(objective.layout.size);
      const state = Object.entries(training.state).filter(([key]) => kept.test(key));
      expect(sum(({ bytes }) => bytes)).toBe(
        state.reduce((total, [, { data }]) => total + data.byteLength, 0),
      );
      for (const { treatment, reason } of coverage)
        expect(`${treatment}${reason}`).not.toContain("undefined");
      training.release();
    });
});

test("what falls back says why", () => {
  using(runtime, networks.transformer!, (objective) => {
    const training = createOptimizer("kfac").start(objective);
    const rows = training.coverage!.map(({ treatment, reason }) => `${treatment}: ${reason}`);
    expect(rows).toContain("diag(A) ⊗ G: embedding");
    expect(rows).toContain("full: scale and shift, full");
    expect(rows).toContain("A ⊗ G: dense with bias");
    training.release();
  });
});
