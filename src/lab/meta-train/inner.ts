/**
 * Training steps inside meta-training: one executable an architecture, with φ and the whole state of a training as its
 * inputs, so that any number of trainings under any φ take turns in it.
 */
import { compile } from "../../compiler/compile.js";
import { gradientOf } from "../../curvature/objective.js";
import { phiLayout } from "../../optimizers/learned/network.js";
import { learnedStep } from "../../optimizers/learned.js";
import type { Runtime } from "../../runtime/runtime.js";
import { input } from "../../tensor/tensor.js";
import type { Architecture, FamilyProblem } from "./family.js";

/** A training's state: θ and the optimizer's averages in one array, and the number of steps done. */
export interface InnerState {
  readonly values: Float32Array;
  step: number;
}

export interface InnerTraining {
  /** The state at the beginning of a problem. */
  begin(problem: FamilyProblem): InnerState;
  /**
   * Goes on by `count` steps under φ, changing the state; the losses on each step's batch, before the step, are
   * given to `observe`.
   */
  advance(
    problem: FamilyProblem,
    state: InnerState,
    phi: ArrayLike<number>,
    count: number,
    observe: (loss: number) => void,
  ): void;
  release(): void;
}

/** @throws Error when the runtime's memory does not suffice. */
export function compileInner(runtime: Runtime, architecture: Architecture): InnerTraining {
  const { model, loss, batch, inputs, outputs, targets } = architecture;
  const { layout } = model;
  const dtype = "f32";
  const theta = input("parameters", { dtype, shape: [layout.size] });
  const x = input("inputs", { dtype, shape: [batch, inputs] });
  const y = input("targets", { dtype: targets, shape: targets === "i32" ? [batch] : [batch, outputs] });
  const phi = input("phi", { dtype, shape: [phiLayout.size] });
  const step = input("step", { dtype, shape: [] });
  const transform = learnedStep(() => phi);
  const specs = Object.entries(transform.init({ dtype, layout }));
  const states = specs.map(([name, { shape }]) => input(name, { dtype, shape }));

  const value = loss.value(model.apply(layout.views(theta), x), y);
  const gradient = gradientOf(value, theta);
  const result = transform.update(
    gradient,
    Object.fromEntries(specs.map(([name], k) => [name, states[k]!])),
    { dtype, layout, parameters: theta, gradient, step: step.add(1) },
  );
  const buffers = [theta, ...states].map((tensor) => runtime.buffer(dtype, tensor.shape));
  const executable = compile(
    runtime,
    {
      inputs: [theta, ...states, x, y, phi, step],
      outputs: [theta.sub(result.direction), ...specs.map(([name]) => result.state[name]!), value],
    },
    { inputs: [...buffers, undefined, undefined, undefined, undefined], outputs: buffers },
  );
  const [xs, ys, phis, steps] = executable.inputs.slice(buffers.length).map((buffer) => buffer.data);
  const lossOut = executable.outputs.at(-1)!.data;
  const size = buffers.reduce((sum, buffer) => sum + buffer.data.length, 0);

  return {
    begin(problem) {
      const values = new Float32Array(size);
      values.set(problem.initial);
      return { values, step: 0 };
    },
    advance(problem, state, weights, count, observe) {
      let from = 0;
      for (const { data } of buffers) {
        data.set(state.values.subarray(from, from + data.length));
        from += data.length;
      }
      phis!.set(weights);
      for (let k = 0; k < count; k++) {
        problem.fill(state.step, xs as Float32Array, ys as Float32Array | Int32Array);
        steps![0] = state.step;
        executable.run();
        observe(lossOut[0]!);
        state.step++;
      }
      from = 0;
      for (const { data } of buffers) {
        state.values.set(data as Float32Array, from);
        from += data.length;
      }
    },
    release() {
      executable.release();
      for (const buffer of buffers) buffer.release();
    },
  };
}
