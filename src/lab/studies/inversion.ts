/**
 * What inverting a layer's factors costs by its width, beside a gradient step of that layer. K-FAC inverts, for a dense
 * layer d → d, two matrices of order d: O(d³) once a refresh, while the step itself is O(B d²). The times are of the
 * library's own inversions (curvature/kronecker/inverses.ts) on a damped factor with eigenvalues that fall as 1/j.
 */
import { createInverter } from "../../curvature/kronecker/index.js";
import { createObjective } from "../../curvature/objective.js";
import { dense, meanSquared, model } from "../../nn/index.js";
import { random } from "../../nn/random.js";
import { createOptimizer } from "../../optimizers/registry.js";
import type { Buffer } from "../../runtime/memory.js";
import type { Runtime } from "../../runtime/runtime.js";
import {
  batch,
  type InversionPoint,
  inversionSchema,
  type Operation,
  operations,
  readInversion,
  step,
} from "./inversion-reading.js";
import { defineStudy, type Extent, type Lab } from "./study.js";

/** λ over the mean of the factor's diagonal. */
const damping = 0.01;

const widths: Readonly<Record<Extent, readonly number[]>> = {
  quick: [64, 128, 256, 512, 1024],
  full: [64, 128, 256, 512, 1024, 2048],
};

/** The least seconds of an action over repeats: what other work on the machine adds is not in it. */
async function leastSeconds(
  lab: Lab,
  action: () => void,
  { budget, most }: { readonly budget: number; readonly most: number },
): Promise<{ seconds: number; repeats: number }> {
  action();
  let [seconds, repeats, spent] = [Number.POSITIVE_INFINITY, 0, 0];
  while (repeats < most && (repeats < 2 || spent < budget)) {
    await lab.pause();
    const began = lab.runtime.clock();
    action();
    const time = lab.runtime.clock() - began;
    seconds = Math.min(seconds, time);
    spent += time;
    repeats++;
  }
  return { seconds, repeats };
}

/** XᵀX/n of normal numbers whose j-th column has variance 1/j, f32 [n, n]. */
function factorOf(runtime: Runtime, n: number, seed: number): Buffer {
  const [X, factor] = [runtime.buffer("f32", [n, n]), runtime.buffer("f32", [n, n])];
  const rng = random(seed).stream("factor");
  for (let k = 0; k < n * n; k++) X.data[k] = rng.normal() / Math.sqrt(1 + (k % n));
  runtime.blas.functions.sgemm(1, 0, n, n, n, 1 / n, X.address, n, X.address, n, 0, factor.address, n);
  X.release();
  return factor;
}

async function measure(lab: Lab, operation: Operation, n: number): Promise<InversionPoint> {
  const { runtime, seed } = lab;
  const limits = { budget: n < 1000 ? 0.4 : 2, most: 200 };
  if (operation === step) {
    const training = sgdStep(runtime, n, seed);
    const time = await leastSeconds(lab, training.run, limits);
    training.release();
    return { operation, width: n, ...time };
  }
  const [factor, target] = [factorOf(runtime, n, seed), runtime.buffer("f32", [n, n])];
  const inverter = createInverter(runtime, "f32", operation, n);
  let trace = 0;
  for (let k = 0; k < n; k++) trace += factor.data[k * (n + 1)]!;
  const shift = (damping * trace) / n;
  const time = await leastSeconds(
    lab,
    () => {
      if (!inverter.invert(factor, shift, target))
        throw new Error(`${operation} refused a positive definite matrix of order ${n}`);
    },
    limits,
  );
  for (const part of [inverter, factor, target]) part.release();
  return { operation, width: n, ...time };
}

/** A whole step of gradient descent on one dense layer d → d, batches of 256. */
function sgdStep(runtime: Runtime, n: number, seed: number) {
  const layer = model(dense(n), [n]);
  const { layout } = layer;
  const loss = meanSquared();
  const objective = createObjective(runtime, {
    layout,
    parameters: layout.flatten(layer.init(seed).parameters).data,
    batch: [
      { dtype: "f32", shape: [batch, n] },
      { dtype: "f32", shape: [batch, n] },
    ],
    trace: (theta, [x, y]) => ({
      loss: loss.value(layer.apply(layout.views(theta), x!), y!),
      state: undefined,
    }),
  });
  const rng = random(seed).stream("batch");
  for (const { data } of objective.batch) for (let k = 0; k < data.length; k++) data[k] = rng.normal();
  const training = createOptimizer("sgd", { learningRate: 1e-6 }).start(objective);
  return {
    run: () => void training.step(),
    release() {
      training.release();
      objective.release();
    },
  };
}

export const inversion = defineStudy({
  name: "inversion",
  title: "Inversion cost and layer width",
  question:
    "What does inverting a layer's factors cost by its width, and how often can one afford it beside gradient steps?",
  expectation: {
    text: "Inverting costs O(d³), against O(B·d²) of the gradient; a 4096×4096 inverse takes about 10 ms on an accelerator, and inversions are bound by memory, not by arithmetic.",
    source:
      "the text that Thalweg comes from (docs/claims.md, 10, 12 and 16); Martens & Grosse 2015, section 8",
  },
  method: `One dense layer d → d, f32. Inverses of (F + λI) with λ a hundredth of the mean diagonal, by Cholesky, by eigenvectors and by Newton–Schulz, and a whole step of gradient descent on ${batch} examples: the least time over repeats.`,
  columns: {
    operation: "what is timed",
    width: "d",
    seconds: "least time of one, in seconds",
    repeats: "how many were timed",
  },
  schema: inversionSchema,
  tasks: (extent) =>
    widths[extent].flatMap((width) =>
      operations.map((operation) => ({
        id: `${operation}, d = ${width}`,
        seconds: 0.8 + (operation === "cholesky" || operation === step ? 1e-9 : 8e-9) * width ** 3,
        measure: (lab: Lab) => measure(lab, operation, width),
      })),
    ),
  read: readInversion,
});
