/**
 * A policy π(a|s): a network gives the parameters of a distribution of actions, a softmax over discrete ones, or the
 * mean and log-variance of a normal one. Its negative log-likelihood is a loss that knows its Fisher information.
 */
import { compile } from "../../../compiler/compile.js";
import { dense, gaussianNLL, initialisers, type Model, model, sequential } from "../../../nn/index.js";
import type { Loss } from "../../../nn/losses/loss.js";
import { softmaxCrossEntropy } from "../../../nn/losses/softmax-cross-entropy.js";
import type { Buffer } from "../../../runtime/memory.js";
import type { Runtime } from "../../../runtime/runtime.js";
import type { Spec } from "../../../tensor/array.js";
import { input, type Tensor } from "../../../tensor/tensor.js";
import { type ActivationName, activations, widthsOf } from "../networks.js";
import type { Environment } from "./environment.js";

export interface Policy {
  readonly network: Model;
  /** −log π(a|s) of the network's outputs and the actions. */
  readonly negativeLogLikelihood: Loss;
  /** Of so many actions. */
  actions(count: number): Spec;
  /** The most probable action for each row of outputs. */
  mode(outputs: Tensor): Tensor;
  /** −Σₐ π log π of each row, [batch]. */
  entropy(outputs: Tensor): Tensor;
}

const distributions = {
  discrete: {
    negativeLogLikelihood: softmaxCrossEntropy(),
    actions: (count: number): Spec => ({ dtype: "i32", shape: [count] }),
    mode: (outputs: Tensor) => outputs.argMax(-1),
    entropy: (outputs: Tensor) => outputs.logSumExp(-1).sub(outputs.softmax(-1).mul(outputs).sum(-1)),
  },
  continuous: {
    negativeLogLikelihood: gaussianNLL(),
    actions: (count: number): Spec => ({ dtype: "f32", shape: [count, 1] }),
    mode: (outputs: Tensor) => outputs.slice(-1, 0, 1),
    entropy: (outputs: Tensor) =>
      outputs
        .slice(-1, 1)
        .sum(-1)
        .add(1 + Math.log(2 * Math.PI))
        .mul(0.5),
  },
} as const;

/** Hidden layers begin orthogonal; the last one small, so that all actions begin about equally probable. */
export function createPolicy(
  { observationSize, actions }: Environment,
  { hidden, activation }: { readonly hidden: string; readonly activation: ActivationName },
): Policy {
  const layers = widthsOf(hidden)!.flatMap((width) => [
    dense(width, { weight: initialisers.orthogonal(Math.SQRT2) }),
    activations[activation](),
  ]);
  const outputs = actions.kind === "discrete" ? actions.count : 2;
  const last = dense(outputs, { weight: initialisers.orthogonal(0.01) });
  return { network: model(sequential(...layers, last), [observationSize]), ...distributions[actions.kind] };
}

/** A policy at work: what it does in several environments at once. */
export interface Actor {
  /** [environments, d]: written before `act`. */
  readonly observations: Buffer;
  /** i32 [2]: what is drawn is a function of it. */
  readonly key: Buffer;
  /** Afterwards: an action for each environment, and its log π(a|s) [environments]. */
  readonly actions: Buffer;
  readonly logLikelihoods: Buffer;
  act(): void;
  release(): void;
}

/** Compiles a policy with parameters θ for `count` environments, drawing actions or taking the most probable. */
export function compileActor(
  runtime: Runtime,
  { network, negativeLogLikelihood, mode }: Policy,
  parameters: Buffer,
  count: number,
  choice: "sample" | "mode",
): Actor {
  const theta = input("parameters", parameters);
  const observations = input("observations", { dtype: "f32", shape: [count, ...network.inputShape] });
  const key = input("key", { dtype: "i32", shape: [2] });
  const outputs = network.apply(network.layout.views(theta), observations);
  const actions = choice === "sample" ? negativeLogLikelihood.sampleTargets!(outputs, key) : mode(outputs);
  const executable = compile(
    runtime,
    {
      inputs: [observations, key, theta],
      outputs: [actions, negativeLogLikelihood.perExample(outputs, actions).neg()],
    },
    { inputs: [undefined, undefined, parameters] },
  );
  return {
    observations: executable.inputs[0]!,
    key: executable.inputs[1]!,
    actions: executable.outputs[0]!,
    logLikelihoods: executable.outputs[1]!,
    act: executable.run,
    release: executable.release,
  };
}
