import type { Step, Value } from "./step.js";

/** "dot [128, 64]·[64, 10]", "loop [128, 10]: rowReduce add exp; local div": what a profile shows. */
export function describeStep(step: Step): string {
  const list = (shape: readonly number[]) => `[${shape.join(", ")}]`;
  switch (step.kind) {
    case "dot":
      return `dot ${list(step.a.layout.shape)}·${list(step.b.layout.shape)}`;
    case "conv":
      return `conv ${step.direction} ${list(step.image)} · ${list(step.window.kernel)} → ${list(step.root.shape)}`;
    case "plain":
      return `${step.op.kind} → ${list(step.root.shape)}`;
    case "window":
      return `window ${step.reduction} ${list(step.domain)} over axes ${step.axes.join()}`;
    case "loop": {
      const kinds = step.outputs.map(
        (o) => (o.kind === "wide" ? "" : `${o.kind} `) + operations(o.value).join(" "),
      );
      return `loop ${list(step.domain)}: ${kinds.join("; ")}`;
    }
  }
}

function operations(value: Value): string[] {
  if (value.kind !== "apply") return value.kind === "load" ? [] : [value.kind];
  return [...value.inputs.flatMap(operations), value.op.kind];
}
