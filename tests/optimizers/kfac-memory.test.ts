/**
 * The memory that K-FAC's costs predict, and the cost pass for the model's activations, against what is in use. The
 * two programs with the model in them, with factors and without, have activations of their own.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { cost } from "../../src/compiler/cost.js";
import { argumentsOf, gradientOf, modelShapeOf, type Objective } from "../../src/curvature/index.js";
import { traceFactors } from "../../src/curvature/kronecker/index.js";
import {
  conv2d,
  dense,
  flatten,
  maxPool2d,
  relu,
  sequential,
  softmaxCrossEntropy,
} from "../../src/nn/index.js";
import { total } from "../../src/optimizers/costs.js";
import { findMethod } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { bytesOf } from "../../src/tensor/dtype.js";
import { input, type Tensor } from "../../src/tensor/tensor.js";
import { type Network, using } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

const loss = { loss: softmaxCrossEntropy(), targets: "classes", dtype: "f32", examples: 32 } as const;
const networks: Readonly<Record<string, Network>> = {
  "wide input": { layer: sequential(dense(128), relu(), dense(10)), input: [784], ...loss },
  deep: {
    layer: sequential(dense(200), relu(), dense(150), relu(), dense(100), relu(), dense(10)),
    input: [200],
    ...loss,
  },
  cnn: {
    layer: sequential(conv2d(8, 3), relu(), maxPool2d(2), conv2d(48, 3), relu(), flatten(), dense(10)),
    input: [14, 14, 1],
    ...loss,
  },
};

/** What the cost pass counts for the two programs: loss and gradient, without and with averages of factors. */
function evaluationBytes(objective: Objective): { readonly plain: number; readonly estimating: number } {
  const given = argumentsOf(objective);
  const { parameters, batch, state, key } = given;
  const traced = objective.trace(parameters, batch, state, key);
  const outputs = [traced.loss, gradientOf(traced.loss, parameters)];
  const fresh = traceFactors(traced, parameters, objective.layout, key).factors.flat();
  const finite = fresh
    .map((factor) => factor.sum().abs().lt(Number.POSITIVE_INFINITY))
    .reduce((all, one) => all.and(one));
  const before = fresh.map((factor) => input("factor", factor));
  const averages = fresh.map((factor, k) => finite.select(factor.add(before[k]!), before[k]!));
  const arena = (inputs: readonly Tensor[], wanted: readonly Tensor[]) =>
    cost({ inputs, outputs: wanted }).arenaBytes;
  return {
    plain: arena(given.inputs, outputs),
    estimating: arena([...given.inputs, ...before], [...outputs, ...averages]),
  };
}

test.each([
  ["wide input", {}],
  ["deep", {}],
  ["deep", { inverse: "eigen" }],
  ["deep", { inverse: "newtonSchulz" }],
  // The cost pass leaves out the block of patches that a convolution works in; here it is small.
  ["cnn", { factorInterval: 10, inverseInterval: 100 }],
] as const)("within a twentieth: %s, %j", (network, settings) => {
  using(runtime, networks[network]!, (objective) => {
    const method = findMethod("kfac");
    const { state, workspace } = method.costs(modelShapeOf(objective), settings, 32);
    const bytes = (sizes: readonly { readonly elements: number }[]) =>
      bytesOf(objective.dtype) * total(sizes);
    const ofBatch = workspace.filter(({ part }) => part === "factors of the batch");
    const { plain, estimating } = evaluationBytes(objective);
    expect(estimating).toBeGreaterThan(bytes(ofBatch));
    const predicted = bytes(state) + bytes(workspace) - bytes(ofBatch) + plain + estimating;
    const before = runtime.used;
    // Steps allocate nothing; what a portable factorization works in is the runtime's.
    const training = method.create(settings).start(objective);
    const used = runtime.used - before;
    expect(Math.abs(predicted / used - 1), `${predicted} predicted, ${used} used`).toBeLessThan(0.05);
    training.release();
  });
});
