/**
 * Training with estimates of the curvature's diagonal: as first-order training, ONE program a step, but every k-th update
 * has a program of its own that makes an estimate h as well (a product with the Hessian shares the forward pass).
 *
 *     t ← t + 1;  g = ∇L(θ);  h, when (t − 1) mod k = 0;  d = transforms(g, h);  θ ← θ − η(t − 1)·d
 */
import { compile, type Executable } from "../compiler/compile.js";
import { argumentsOf, gradientOf, type Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import { input, type Tensor } from "../tensor/tensor.js";
import type { DiagonalEstimate } from "./diagonal-estimate.js";
import type { StepReport, Training } from "./optimizer.js";
import type { Schedule } from "./schedule.js";
import { stopwatch } from "./stopwatch.js";
import type { Transform } from "./transform.js";

export interface DiagonalMethod {
  /** The method's transforms, given the estimate [n]; undefined in steps without one. The same state either way. */
  readonly transform: (diagonal: Tensor | undefined) => Transform;
  readonly schedule: Schedule;
  /** k */
  readonly every: number;
  readonly estimate: () => DiagonalEstimate;
}

/** Memory: θ, g, the transforms' state, and what the estimate keeps. */
export function startDiagonal(objective: Objective, method: DiagonalMethod): Training {
  const { runtime, dtype, layout, key } = objective;
  const estimate = method.estimate();
  const specs = Object.entries(method.transform(undefined).init({ dtype, layout }));
  const count = runtime.buffer("i32", []);
  const buffers = specs.map(([, { shape, initial }]) => {
    const buffer = runtime.buffer(dtype, shape);
    buffer.data.fill(initial);
    return buffer;
  });
  const kept = [objective.parameters, ...(objective.state ? [objective.state] : []), count, ...buffers];
  const release = () => {
    estimate.release();
    for (const buffer of [count, ...buffers]) buffer.release();
  };

  const build = (estimates: boolean): Executable => {
    const given = argumentsOf(objective);
    const { parameters } = given;
    const done = input("step", count);
    const states = specs.map(([name], index) => input(name, buffers[index]!));
    const traced = objective.trace(parameters, given.batch, given.state, given.key);
    const gradient = gradientOf(traced.loss, parameters);
    const after = done.add(1);
    const rate = method.schedule(done.cast(dtype));
    const { direction, state } = method
      .transform(estimates ? estimate.trace(traced, given) : undefined)
      .update(gradient, Object.fromEntries(specs.map(([name], index) => [name, states[index]!])), {
        dtype,
        layout,
        parameters,
        gradient,
        step: after.cast(dtype),
      });
    const outputs = [
      parameters.sub(direction.mul(rate)),
      ...(traced.state ? [traced.state] : []),
      after,
      ...specs.map(([name]) => state[name]!),
      traced.loss,
      rate,
      gradient.square().sum().sqrt(),
    ];
    return compile(
      runtime,
      { inputs: [...given.inputs, done, ...states, ...(estimates ? [estimate.input] : [])], outputs },
      {
        inputs: [...given.buffers, count, ...buffers, ...(estimates ? [estimate.buffer] : [])],
        outputs: kept,
      },
    );
  };
  let withEstimate: Executable;
  try {
    withEstimate = build(true);
  } catch (error) {
    release();
    throw error;
  }
  const between = method.every > 1 ? build(false) : withEstimate;
  const reportOf = ({ outputs }: Executable) => outputs.slice(kept.length) as [Buffer, Buffer, Buffer];
  const reportOfEstimate = reportOf(withEstimate);
  const reportBetween = reportOf(between);
  const withoutEstimate = { gradients: 1 } as const;
  const evaluations = { ...withoutEstimate, ...estimate.evaluations };
  estimate.draw(0);
  const watch = stopwatch(runtime.clock);

  return {
    state: {
      step: count,
      ...Object.fromEntries(specs.map(([name], index) => [name, buffers[index]!])),
      ...estimate.state,
    },
    step(): StepReport {
      const t = count.data[0]!;
      const due = t % method.every === 0;
      // What dropout draws depends on the seed and on the number of the update only.
      key.data[1] = t;
      watch.start();
      (due ? withEstimate : between).run();
      if (due) {
        estimate.draw(t + method.every);
        watch.lap("curvature");
      }
      const [lossOut, rateOut, normOut] = due ? reportOfEstimate : reportBetween;
      const loss = lossOut.data[0]!;
      const gradientNorm = normOut.data[0]!;
      return {
        loss,
        learningRate: rateOut.data[0]!,
        gradientNorm,
        finite: Number.isFinite(loss) && Number.isFinite(gradientNorm),
        evaluations: due ? evaluations : withoutEstimate,
        diagnostics: { refreshed: due },
        seconds: watch.seconds,
      };
    },
    release() {
      withEstimate.release();
      if (between !== withEstimate) between.release();
      release();
    },
  };
}
