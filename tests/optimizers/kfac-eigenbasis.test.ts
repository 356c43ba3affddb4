/** EKFAC's second moments against gradients of each example. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { kroneckerFactors, perExampleGradients } from "../../src/curvature/index.js";
import { softmaxCrossEntropy } from "../../src/nn/index.js";
import { ekfac } from "../../src/optimizers/index.js";
import { createRuntime, type Runtime } from "../../src/runtime/runtime.js";
import { matrixOf } from "../curvature/matrices.js";
import { mlp, objectiveOf } from "../curvature/networks.js";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createRuntime({ threads: 1 });
});
afterAll(() => runtime.close());

test("S is the mean of squares in the eigenbasis, and no diagonal there is nearer to the block", () => {
  const objective = objectiveOf(runtime, { ...mlp(softmaxCrossEntropy(), "classes"), examples: 9 });
  const each = perExampleGradients(objective);
  each.compute();
  const F = matrixOf(objective, "empiricalFisher");
  const alone = kroneckerFactors(objective, { estimator: "empirical" });
  alone.compute();
  const training = ekfac
    .create({ estimator: "empirical", factorDecay: 0, learningRate: 1e-12 })
    .start(objective);
  training.step();
  const n = objective.layout.size;
  alone.blocks.forEach(({ parameters, inputs, outputs }, block) => {
    const { name, offset } = parameters[0]!;
    const [EA, EG, S] = ["basis.A", "basis.G", "moments"].map(
      (part) => training.state[`${part}.${name}`]!.data,
    );
    const size = inputs * outputs;
    // Row p = (i, o) of the basis of the block, over its elements q = (j, r).
    const basis = Array.from({ length: size }, (_, p) =>
      Float64Array.from({ length: size }, (__, q) => {
        const [i, o, j, r] = [Math.floor(p / outputs), p % outputs, Math.floor(q / outputs), q % outputs];
        return EA![i * inputs + j]! * EG![o * outputs + r]!;
      }),
    );
    const moments = basis.map((row) => {
      let sum = 0;
      for (let example = 0; example < 9; example++)
        sum += row.reduce((s, x, q) => s + x * each.gradients.data[example * n + offset + q]!, 0) ** 2 / 9;
      return sum;
    });
    const scale = Math.max(...moments);
    moments.forEach((moment, p) => {
      expect(Math.abs(S![p]! - moment)).toBeLessThan(1e-12 * scale);
    });

    const [A, G] = alone.factors[block]!.map(({ data }) => data);
    let [kronecker, corrected] = [0, 0];
    for (let p = 0; p < size; p++)
      for (let q = 0; q < size; q++) {
        const truth = F[offset + p]![offset + q]!;
        const [i, o, j, r] = [Math.floor(p / outputs), p % outputs, Math.floor(q / outputs), q % outputs];
        kronecker += (A![i * inputs + j]! * G![o * outputs + r]! - truth) ** 2;
        corrected += (basis.reduce((s, row, k) => s + row[p]! * S![k]! * row[q]!, 0) - truth) ** 2;
      }
    expect(corrected).toBeLessThanOrEqual(kronecker * (1 + 1e-9));
  });
  training.release();
  alone.release();
  each.release();
  objective.release();
});
