/** Steps with their kernels, and what they cost: by that they are shared among threads or not. */
import { sizeOf } from "../tensor/shape.js";
import type { Kernel, KernelCache } from "./kernel.js";
import { loopKernel } from "./loop.js";
import type { ConvStep, DotStep, PlainStep, Step } from "./step.js";
import { type PlainKernel, plainKernel } from "./steps.js";
import { windowKernel } from "./window.js";

/** A step with its kernel; what it costs one thread (nanoseconds, roughly), and into how many parts it can be cut. */
export type Part = { readonly cost: number; readonly units: number } & (
  | { readonly kind: "lanes"; readonly kernel: Kernel }
  | { readonly kind: "plain"; readonly step: PlainStep; readonly kernel: PlainKernel }
  | { readonly kind: "conv"; readonly step: ConvStep }
  | { readonly kind: "dot"; readonly step: DotStep }
);

export function prepareStep(step: Step, cache: KernelCache): Part {
  switch (step.kind) {
    case "loop":
    case "window": {
      const kernel = step.kind === "loop" ? loopKernel(step, cache) : windowKernel(step, cache);
      return { kind: "lanes", kernel, cost: kernel.work / 4, units: kernel.units };
    }
    case "plain": {
      const kernel = plainKernel(step, cache);
      return { kind: "plain", step, kernel, cost: kernel.work, units: kernel.units };
    }
    case "conv": {
      const flops = 2 * sizeOf(step.patches) * step.root.shape.at(-1)!;
      return { kind: "conv", step, cost: flops / 60, units: step.patches[0]! };
    }
    case "dot": {
      const flops = 2 * step.root.size * step.a.layout.shape.at(-1)!;
      return { kind: "dot", step, cost: flops / 100, units: step.root.size / 16 };
    }
  }
}
