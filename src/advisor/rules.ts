/**
 * What is known of methods, as data: a rule multiplies the steps that priors.ts gives some methods where something holds.
 * The numbers are judgments by order of magnitude; each names what it rests on, and a race on the problem itself replaces
 * all of them.
 */
import type { OptimizerName } from "../optimizers/registry.js";
import { optimizers } from "../optimizers/registry.js";
import type { Context, Task } from "./situation.js";

export interface Effect {
  readonly methods: readonly OptimizerName[];
  /** Multiplies the steps. */
  readonly steps: number;
}

export interface Rule {
  readonly name: string;
  readonly holds: (context: Context) => boolean;
  /** The fact, with its number. */
  readonly fact: (context: Context) => string;
  readonly because: string;
  readonly source: string;
  readonly effects: readonly Effect[];
}

const names = Object.keys(optimizers) as OptimizerName[];
const ofFamilies = (...families: readonly string[]) =>
  names.filter((name) => families.includes(optimizers[name].family));
const curved = ofFamilies("quasi-Newton", "second order");
const secondOrder = ofFamilies("second order");
const plain: readonly OptimizerName[] = ["sgd", "momentum", "nesterov"];
const forTask = (task: Task) => (context: Context) => context.situation.task === task;
const told = (text: string) => () => text;
const isNormalized = ({ model }: Context) => model.layers.some(({ kind }) => kind === "scaleShift");
/** Steps of a recurrence. */
const stepsBack = ({ model }: Context) => Math.max(...model.layers.map(({ uses }) => uses));
/** From here on first-order methods learn some tasks and others never, and nothing in the model tells which. */
const longLag = 50;
const example = (count: number) => count.toLocaleString("en-US");
/** Settings of a method on which much depends. */
const sensitive = (name: OptimizerName) =>
  Object.values(optimizers[name].options).filter(({ sensitivity }) => sensitivity === "high").length;
const demanding = names.filter((name) => sensitive(name) >= 2);

export const rules: readonly Rule[] = [
  {
    name: "attention and plain gradients",
    holds: forTask("language-model"),
    fact: told("a language model"),
    because: "its gradients have heavy tails, which scaling by elements tames and one rate for all does not",
    source: "Zhang et al. 2020, Why are adaptive methods good for attention models?",
    effects: [{ methods: plain, steps: 3 }],
  },
  {
    name: "Kronecker factors of language models",
    holds: forTask("language-model"),
    fact: told("a language model"),
    because:
      "no published training of this kind with K-FAC holds up at scale; its output head has a dense factor",
    source: "nothing published; the costs above",
    effects: [{ methods: ["kfac", "ekfac"], steps: 1.6 }],
  },
  {
    name: "steps of Sophia",
    holds: forTask("language-model"),
    fact: told("a language model"),
    because: "half of Adam's steps were claimed; with AdamW tuned as carefully the difference disappears",
    source: "issues 10, 31 and 46 of the authors' repository",
    effects: [{ methods: ["sophia"], steps: 1.1 }],
  },
  {
    name: "the baseline of residual networks",
    holds: (context) =>
      forTask("image-classification")(context) &&
      (context.model.kind !== "convolutional" || isNormalized(context)),
    fact: told("image classification"),
    because: "with normalization and augmentation, momentum with a decaying rate is hard to beat",
    source: "AlgoPerf's results on ResNet-50; Wilson et al. 2017",
    effects: [
      { methods: ["momentum", "nesterov"], steps: 0.8 },
      { methods: ["adam", "adamw"], steps: 1.05 },
    ],
  },
  {
    name: "noise hides conditioning",
    holds: (context) =>
      forTask("image-classification")(context) &&
      context.model.kind === "dense" &&
      context.situation.batch * context.situation.workers <= context.noiseScale / 4,
    fact: ({ situation, noiseScale }) =>
      `dense layers, ${example(situation.batch * situation.workers)} examples a step where noise is as large as the gradient at ${example(noiseScale)}`,
    because: "steps are as short as noise demands, so that momentum and scaling gain little over plain steps",
    source: "Zhang et al. 2019, Which algorithmic choices matter at which batch sizes?; Kidambi et al. 2018",
    effects: [
      { methods: ["sgd"], steps: 0.39 },
      { methods: ["momentum", "nesterov"], steps: 1.1 },
    ],
  },
  {
    name: "orthogonal steps of convolutions",
    holds: (context) =>
      forTask("image-classification")(context) &&
      context.model.kind === "convolutional" &&
      context.parameters <= 1e7,
    fact: ({ parameters }) => `a convolutional network of ${example(parameters)} parameters`,
    because:
      "kernels seen by many places have gradients of few directions; Muon took CIFAR-10's record from 3.3 to 2.6 seconds",
    source: "Jordan et al. 2024; nothing was published at ImageNet's size",
    effects: [{ methods: ["muon"], steps: 0.65 }],
  },
  {
    name: "errors of numbers",
    holds: forTask("regression"),
    fact: told("a regression"),
    because:
      "where residuals become small the Gauss–Newton matrix becomes the Hessian, and its factors what the loss is like",
    source: "Nocedal & Wright 2006, section 10.3; Martens & Grosse 2015 on autoencoders",
    effects: [{ methods: ["kfac", "ekfac"], steps: 0.4 }],
  },
  {
    name: "differential operators",
    holds: forTask("differential-equation"),
    fact: ({ conditionNumber }) => `a differential equation: κ ≈ ${conditionNumber.toExponential(0)}`,
    because: "derivatives of the network's output spread the spectrum; first-order methods stall in it",
    source: "Rathore et al. 2024, Challenges in training PINNs",
    effects: [
      { methods: ["sgd", "adagrad", "rmsprop", "lion", "lars", "lamb"], steps: 4 },
      { methods: ["momentum", "nesterov"], steps: 1.5 },
      { methods: ["muon", "shampoo"], steps: 1.5 },
    ],
  },
  {
    name: "iterations of conjugate gradients",
    holds: ({ conditionNumber }) => conditionNumber >= 1e6,
    fact: ({ conditionNumber }) => `κ ≈ ${conditionNumber.toExponential(0)}`,
    because:
      "conjugate gradients take about √κ iterations: a step runs to their limit, and is still not exact",
    source: "Hestenes & Stiefel 1952; Nocedal & Wright 2006, section 5.1",
    effects: [{ methods: ["hessianFree", "naturalGradient"], steps: 4 }],
  },
  {
    name: "energy natural gradients",
    holds: (context) => forTask("differential-equation")(context) && context.parameters <= 5000,
    fact: ({ parameters }) => `${parameters.toLocaleString("en-US")} parameters`,
    because:
      "the whole Gauss–Newton matrix fits, and its steps end in hundreds instead of hundreds of thousands",
    source: "Müller & Zeinhofer 2023, Achieving high accuracy with PINNs via energy natural gradient descent",
    effects: [{ methods: ["newton"], steps: 0.5 }],
  },
  {
    name: "small policies",
    holds: (context) => forTask("reinforcement-learning")(context) && context.parameters < 1e6,
    fact: ({ parameters }) => `a policy of ${parameters.toLocaleString("en-US")} parameters`,
    because: "a bound on the divergence of the policy keeps a step from ruining what the next data come from",
    source: "Schulman et al. 2015, Trust region policy optimization",
    effects: [{ methods: ["naturalGradient"], steps: 0.25 }],
  },
  {
    name: "moving data",
    holds: forTask("reinforcement-learning"),
    fact: told("reinforcement learning"),
    because: "the data change with the policy, so that curvature of one batch says little of the next",
    source: "Schulman et al. 2017, Proximal policy optimization",
    effects: [
      { methods: curved.filter((name) => name !== "naturalGradient"), steps: 3 },
      { methods: ofFamilies("matrix preconditioner", "diagonal curvature"), steps: 1.3 },
    ],
  },
  {
    name: "games",
    holds: forTask("adversarial"),
    fact: told("two networks against each other"),
    because: "a game has no loss whose minimum is its solution; Newton's steps go to any stationary point",
    source: "Balduzzi et al. 2018, The mechanics of n-player differentiable games",
    effects: [{ methods: [...curved, "soap", "shampoo"], steps: 4 }],
  },
  {
    name: "long recurrences",
    holds: forTask("recurrent"),
    fact: told("a recurrence"),
    because:
      "gradients vanish along directions that matter; curvature vanishes with them, and their quotient does not",
    source: "Martens & Sutskever 2011; with good initial values momentum comes close, Sutskever et al. 2013",
    effects: [
      { methods: ["hessianFree", "naturalGradient"], steps: 0.3 },
      { methods: ["sgd"], steps: 3 },
    ],
  },
  {
    name: "gradients that have vanished",
    holds: (context) => forTask("recurrent")(context) && stepsBack(context) >= longLag,
    fact: (context) => `${example(stepsBack(context))} steps back in time`,
    because:
      "a plain recurrence forgets by then: gradients show nothing to follow, in a million sequences; Hessian-free with structural damping went on",
    source:
      "Hochreiter & Schmidhuber 1997; Martens & Sutskever 2011; races on addition, multiplication and copy memory, docs/scenarios.md",
    effects: [{ methods: names.filter((name) => name !== "hessianFree"), steps: 300 }],
  },
  {
    name: "factors of shared times",
    holds: forTask("recurrent"),
    fact: told("a recurrence"),
    because: "Kronecker factors of a weight that acts at all times take the times for independent",
    source: "Martens, Ba & Johnson 2018, Kronecker-factored curvature approximations for recurrent networks",
    effects: [{ methods: ["kfac", "ekfac"], steps: 5 }],
  },
  {
    name: "orthogonal steps of recurrences",
    holds: (context) => forTask("recurrent")(context) && stepsBack(context) < longLag,
    fact: (context) => `${example(stepsBack(context))} steps back in time`,
    because: "weak directions of the recurrent weights move as far as strong ones: no published evidence",
    source: "a race on the temporal order of symbols, docs/scenarios.md",
    effects: [{ methods: ["muon"], steps: 0.5 }],
  },
  {
    name: "fine-tuning",
    holds: forTask("fine-tuning"),
    fact: told("fine-tuning"),
    because: "few steps from a good start; a gain of two to five times by K-FAC is claimed without a source",
    source: "Devlin et al. 2019 fine-tune with Adam; Frantar et al. 2021 see no gain on SST-2",
    effects: [
      { methods: [...curved, "soap", "shampoo", "muon"], steps: 1.4 },
      { methods: plain, steps: 1.5 },
      { methods: ["adamw"], steps: 0.95 },
    ],
  },
  {
    name: "very large batches",
    holds: ({ situation }) => situation.batch * situation.workers >= 8192,
    fact: ({ situation }) =>
      `${(situation.batch * situation.workers).toLocaleString("en-US")} examples a step`,
    because: "steps in proportion to each layer's weights stay stable at rates that diverge otherwise",
    source: "You et al. 2020, Large batch optimization for deep learning",
    effects: [{ methods: ["lamb", "lars"], steps: 0.75 }],
  },
  {
    name: "decay beside scaling",
    holds: ({ situation }) =>
      situation.task === "language-model" ||
      situation.task === "image-classification" ||
      situation.task === "fine-tuning",
    fact: ({ situation }) => situation.task.replaceAll("-", " "),
    because: "weights that shrink at one rate generalize better than a penalty that Adam's scaling distorts",
    source: "Loshchilov & Hutter 2019, Decoupled weight decay regularization",
    effects: [{ methods: ["adam"], steps: 1.05 }],
  },
  {
    name: "many settings",
    holds: ({ situation }) => situation.expertise === "low",
    fact: told("little experience"),
    because: "several settings on which much depends: without a search the method will be badly set",
    source:
      "Ma et al. 2019, Inefficiency of K-FAC for large batch size training; the catalogue's sensitivities",
    effects: [{ methods: demanding, steps: 1.4 }],
  },
  {
    name: "a search is paid too",
    holds: ({ situation }) => situation.budget === "limited",
    fact: told("a limited budget"),
    because: "second-order methods want damping and intervals tuned beside the rate",
    source: "Ma et al. 2019; Choi et al. 2019, On empirical comparisons of optimizers",
    effects: [{ methods: secondOrder, steps: 1.2 }],
  },
  {
    name: "little memory",
    holds: ({ situation }) => situation.edge === true,
    fact: told("a small device"),
    because: "state beyond one vector, and long sequences of products, cost more than they bring",
    source: "the costs of the method",
    effects: [{ methods: names.filter((name) => optimizers[name].family !== "first order"), steps: 2 }],
  },
];
