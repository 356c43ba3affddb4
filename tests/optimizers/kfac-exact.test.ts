/** Where K-FAC is no approximation: for networks, widths and data at random. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kroneckerFactors, type Objective } from "../../src/curvature/index.js";
import {
  binaryCrossEntropyWithLogits,
  dense,
  meanSquared,
  sequential,
  softmaxCrossEntropy,
} from "../../src/nn/index.js";
import { kfac, naturalGradient, type Optimizer } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { deviation, type Matrix, matrixOf, rowsOf } from "../curvature/matrices.js";
import { type Network, objectiveOf } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const width = fc.integer({ min: 1, max: 4 });
const seeds = fc.integer({ min: 1, max: 1e6 });

/** Whether every block of the Fisher matrix is A ⊗ G. */
function checkBlocks(objective: Objective): void {
  const fisher = matrixOf(objective, "fisher");
  const { blocks, factors, compute, release } = kroneckerFactors(objective, { estimator: "exact" });
  compute();
  blocks.forEach(({ parameters, inputs, outputs }, k) => {
    const [A, G] = factors[k]!.map(({ data, shape }) => rowsOf(data, shape[0]!)) as [Matrix, Matrix];
    const { offset } = parameters[0]!;
    const size = inputs * outputs;
    const block = fisher.slice(offset, offset + size).map((row) => row.subarray(offset, offset + size));
    const product = Array.from({ length: size }, (_, r) =>
      Float64Array.from(
        { length: size },
        (__, c) => A[Math.floor(r / outputs)]![Math.floor(c / outputs)]! * G[r % outputs]![c % outputs]!,
      ),
    );
    expect(deviation(product, block)).toBeLessThan(1e-12);
  });
  release();
}

/** What one step adds to θ, which is put back. */
function updateOf(optimizer: Optimizer, objective: Objective): Float64Array {
  const before = Float64Array.from(objective.parameters.data);
  const training = optimizer.start(objective);
  training.step();
  training.release();
  const update = Float64Array.from(objective.parameters.data, (x, k) => x - before[k]!);
  objective.parameters.set(before);
  return update;
}

const bare = {
  estimator: "exact",
  learningRate: 1,
  momentum: 0,
  klClip: 0,
  factorDecay: 0,
  factorInterval: 1,
  inverseInterval: 1,
} as const;

describe("a linear network with Gaussian outputs", () => {
  test("has blocks A ⊗ G of any widths and depth", () => {
    fc.assert(
      fc.property(fc.array(width, { minLength: 1, maxLength: 3 }), width, seeds, (widths, input, seed) => {
        const network: Network = {
          layer: sequential(...widths.map((units) => dense(units))),
          input: [input],
          loss: meanSquared(),
          targets: "numbers",
        };
        const objective = objectiveOf(runtime, network, seed);
        checkBlocks(objective);
        objective.release();
      }),
      { numRuns: 8, seed: 1 },
    );
  });

  test("of one layer: K-FAC's step is the natural gradient's", () => {
    fc.assert(
      fc.property(width, width, seeds, (input, outputs, seed) => {
        const network: Network = {
          layer: dense(outputs),
          input: [input],
          loss: meanSquared(),
          targets: "numbers",
          examples: 20,
        };
        const objective = objectiveOf(runtime, network, seed);
        const natural = naturalGradient.create({
          solver: "dense",
          globalization: "none",
          learningRate: 1,
          damping: 0,
        });
        const [ours, theirs] = [kfac.create({ ...bare, damping: 1e-16 }), natural].map((optimizer) =>
          updateOf(optimizer, objective),
        );
        expect(deviation([ours!], [theirs!])).toBeLessThan(1e-6);
        objective.release();
      }),
      { numRuns: 6, seed: 2 },
    );
  });
});

test("one linear layer and one example: the block is A ⊗ G, whatever the loss", () => {
  const losses = fc.constantFrom<[Network["loss"], Network["targets"]]>(
    [meanSquared(), "numbers"],
    [softmaxCrossEntropy(), "classes"],
    [binaryCrossEntropyWithLogits(), "probabilities"],
  );
  fc.assert(
    fc.property(width, width, losses, seeds, (input, outputs, [loss, targets], seed) => {
      // A single class has no curvature to compare with.
      const layer = dense(outputs + 1);
      const objective = objectiveOf(runtime, { layer, input: [input], loss, targets, examples: 1 }, seed);
      checkBlocks(objective);
      objective.release();
    }),
    { numRuns: 8, seed: 3 },
  );
});
