/**
 * First-order training: loss, gradient, transforms, the update of θ and of every state are traced as ONE program,
 * compiled with outputs bound to the memory of their inputs. A step is one call of one executable and allocates
 * nothing.
 *
 *     t ← t + 1;  g = ∇L(θ);  d = transforms(g);  θ ← θ − η(t − 1)·d
 *
 * Memory: θ, g and the transforms' state. FLOPs: the gradient's, and a few an element of θ.
 */

import { compile } from "../compiler/compile.js";
import { argumentsOf, gradientOf, type Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import type { Program } from "../tensor/program.js";
import { input } from "../tensor/tensor.js";
import type { Optimizer, StepReport, Training } from "./optimizer.js";
import type { Schedule } from "./schedule.js";
import { sweep, sweepEvery } from "./subnormal.js";
import { stateless, type Transform } from "./transform.js";

/**
 * d ← s(t − 1)·d, for a schedule s inside a chain.
 *
 *     chain(scaleByAdam(), scaleBySchedule(linear({ from: 1, to: 0.1, steps: 1000 })))
 */
export const scaleBySchedule = (schedule: Schedule): Transform =>
  stateless("scale", (direction, { step }) => direction.mul(schedule(step.sub(1))));

/** An optimizer that is a transform of the gradient and nothing else: it can become part of another program. */
export interface FirstOrder extends Optimizer {
  readonly transform: Transform;
  readonly schedule: Schedule;
}

export const isFirstOrder = (optimizer: Optimizer): optimizer is FirstOrder => "transform" in optimizer;

/**
 * An optimizer from a transform of the gradient and a schedule of the learning rate.
 *
 *     const optimizer = firstOrder("adam, clipped",
 *       chain(clipByGlobalNorm(1), scaleByAdam()), warmUp(100, cosine({ from: 1e-3, steps: 5000 })));
 *     const training = optimizer.start(objective);
 *     training.step().loss;
 *
 * `settings` is what a run records of it.
 */
export function firstOrder(
  name: string,
  transform: Transform,
  schedule: Schedule,
  settings: Readonly<Record<string, unknown>> = {},
): FirstOrder {
  return {
    name,
    settings,
    transform,
    schedule,
    start: (objective) => start(objective, transform, schedule),
  };
}

/** The program of one step. Outputs: θ, model state (if any), t, transforms' state; then loss, rate, ‖g‖. */
export interface FirstOrderStep {
  readonly program: Program;
  /** Initial values of the transforms' state, in the order of the program's inputs after t. */
  readonly state: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly initial: number;
  }[];
}

/**
 * One step as a program. Inputs: θ, batch, model state (if any), key, t (i32), transforms' state. See `FirstOrderStep` for
 * the outputs.
 *
 *     const { program } = traceFirstOrderStep(objective, scaleByAdam(), constant(1e-3));
 *     cost(program).bytes;   // of the whole training step
 */
export function traceFirstOrderStep(
  objective: Objective,
  transform: Transform,
  schedule: Schedule,
): FirstOrderStep {
  const { dtype, layout } = objective;
  const given = argumentsOf(objective);
  const { parameters } = given;
  const specs = Object.entries(transform.init({ dtype, layout }));
  const done = input("step", { dtype: "i32", shape: [] });
  const states = specs.map(([name, { shape }]) => input(name, { dtype, shape }));

  const { loss, state: modelState } = objective.trace(parameters, given.batch, given.state, given.key);
  const gradient = gradientOf(loss, parameters);
  const count = done.add(1);
  const rate = schedule(done.cast(dtype));
  const { direction, state } = transform.update(
    gradient,
    Object.fromEntries(specs.map(([name], index) => [name, states[index]!])),
    { dtype, layout, parameters, gradient, step: count.cast(dtype) },
  );
  return {
    program: {
      inputs: [...given.inputs, done, ...states],
      outputs: [
        parameters.sub(direction.mul(rate)),
        ...(modelState ? [modelState] : []),
        count,
        ...specs.map(([name]) => state[name]!),
        loss,
        rate,
        gradient.square().sum().sqrt(),
      ],
    },
    state: specs.map(([name, spec]) => ({ name, ...spec })),
  };
}

const evaluations = { gradients: 1 } as const;

function start(objective: Objective, transform: Transform, schedule: Schedule): Training {
  const { runtime, dtype, key } = objective;
  const { program, state } = traceFirstOrderStep(objective, transform, schedule);
  const count = runtime.buffer("i32", []);
  const buffers = state.map(({ shape, initial }) => {
    const buffer = runtime.buffer(dtype, shape);
    buffer.data.fill(initial);
    return buffer;
  });
  const kept: Buffer[] = [
    objective.parameters,
    ...(objective.state ? [objective.state] : []),
    count,
    ...buffers,
  ];
  const executable = compile(runtime, program, {
    inputs: [...argumentsOf(objective).buffers, count, ...buffers],
    outputs: kept,
  });
  const [lossOut, rateOut, normOut] = executable.outputs.slice(kept.length) as [Buffer, Buffer, Buffer];

  return {
    state: { step: count, ...Object.fromEntries(state.map(({ name }, index) => [name, buffers[index]!])) },
    step(): StepReport {
      // What dropout draws depends on the seed and on the number of the update only.
      key.data[1] = count.data[0]!;
      executable.run();
      if (count.data[0]! % sweepEvery === 0)
        for (const buffer of buffers) sweep(buffer.data as Float32Array, dtype);
      const loss = lossOut.data[0]!;
      const gradientNorm = normOut.data[0]!;
      const finite = Number.isFinite(loss) && Number.isFinite(gradientNorm);
      return { loss, learningRate: rateOut.data[0]!, gradientNorm, finite, evaluations };
    },
    release() {
      executable.release();
      for (const buffer of [count, ...buffers]) buffer.release();
    },
  };
}
