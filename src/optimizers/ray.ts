/** θ(t) = θ₀ + t·d: where line searches and trust regions look. */
import { compile } from "../compiler/compile.js";
import type { Objective } from "../curvature/objective.js";
import type { Buffer } from "../runtime/memory.js";
import { input } from "../tensor/tensor.js";

export interface Ray {
  /** θ₀ [n]. */
  readonly origin: Buffer;
  /** d [n]. */
  readonly direction: Buffer;
  /** θ₀ ← θ. */
  begin(): void;
  /** θ ← θ₀ + t·d; for t = 0 the very bits of θ₀. */
  move(t: number): void;
  /** The last t. */
  readonly length: number;
  /** Moves to t; the loss there, +∞ where it is not a number. */
  lossAt(t: number): number;
  release(): void;
}

/**
 * The ray of an objective along `direction`, a buffer [n] that someone else fills; without one it has its own.
 *
 *     const ray = compileRay(objective, solver.solution);
 *     ray.begin();
 *     if (ray.lossAt(1) > loss) ray.move(0);
 */
export function compileRay(objective: Objective, direction?: Buffer): Ray {
  const { runtime, parameters, dtype } = objective;
  const own = direction ?? runtime.buffer(dtype, parameters.shape);
  const origin = runtime.buffer(dtype, parameters.shape);
  const [from, along, t] = [
    input("origin", origin),
    input("direction", own),
    input("t", { dtype: "f64", shape: [] }),
  ];
  const executable = compile(
    runtime,
    { inputs: [from, along, t], outputs: [from.add(along.mul(t.cast(dtype)))] },
    { inputs: [origin, own], outputs: [parameters] },
  );
  const length = executable.inputs[2]!;
  const move = (to: number) => {
    length.data[0] = to;
    if (to === 0) parameters.data.set(origin.data);
    else executable.run();
  };
  return {
    origin,
    direction: own,
    begin: () => origin.data.set(parameters.data),
    move,
    get length() {
      return length.data[0]!;
    },
    lossAt(to) {
      move(to);
      const loss = objective.loss();
      return Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss;
    },
    release() {
      executable.release();
      origin.release();
      if (!direction) own.release();
    },
  };
}
