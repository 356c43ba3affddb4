/** The catalogue of optimizers in words, for the command line and the documentation. */
import { type ModelShape, parameterCount } from "../curvature/model-shape.js";
import { multiple } from "../optimizers/costs.js";
import type { Costs, Method, Option, Question } from "../optimizers/index.js";
import { formatCount, formatSignificant } from "./format.js";

/** The model that numbers are given for: 784-128-10 with biases, 101,770 parameters, batches of 64. */
export const exampleModel: ModelShape = {
  layers: [
    [785, 128],
    [129, 10],
  ].map(([inputs, outputs], k) => ({
    name: `dense ${k + 1}`,
    kind: "dense",
    arrays: [
      { name: `dense${k + 1}.weight`, shape: [inputs! - 1, outputs!] },
      { name: `dense${k + 1}.bias`, shape: [outputs!] },
    ],
    inputs: inputs!,
    outputs: outputs!,
    positions: 1,
    uses: 1,
  })),
};
export const exampleBatch = 64;
export const exampleName = "784-128-10 with batches of 64";

export const costsOf = (method: Method): Costs => method.costs(exampleModel, {}, exampleBatch);

/** "2n", "n + 2·(Σ in² + out²)": what is saved, scalars left out. */
export function memoryFormula(method: Method): string {
  const formulas = costsOf(method)
    .state.filter(({ part }) => part !== "scalars")
    .map(({ formula }) => formula);
  const vectors = formulas.map((formula) => /^(\d*)n$/.exec(formula)).filter((match) => match !== null);
  const n = vectors.reduce((sum, [, count]) => sum + Number(count || 1), 0);
  const others = formulas.filter((formula) => !/^\d*n$/.test(formula));
  const repeated = [...new Set(others)].map((formula) => {
    const times = others.filter((other) => other === formula).length;
    return times === 1 ? formula : `${times}·(${formula})`;
  });
  return [...(n > 0 ? [multiple(n)] : []), ...repeated].join(" + ") || "0";
}

/** One of what may be asked, and many. */
const words: Readonly<Record<Question, readonly [one: string, many: string]>> = {
  gradients: ["gradient", "gradients"],
  losses: ["loss", "losses"],
  hessianVectorProducts: ["Hessian product", "Hessian products"],
  gaussNewtonVectorProducts: ["Gauss–Newton product", "Gauss–Newton products"],
  fisherVectorProducts: ["Fisher product", "Fisher products"],
  empiricalFisherVectorProducts: ["empirical Fisher product", "empirical Fisher products"],
  sampledGradients: ["gradient at drawn targets", "gradients at drawn targets"],
  sampleGradients: ["gradient on a part of the batch", "gradients on a part of the batch"],
  preconditionerGradients: ["gradient with random signs", "gradients with random signs"],
  factors: ["estimate of factors", "estimates of factors"],
  divergences: ["divergence", "divergences"],
};

/** What may be asked: "gradients, Hessian products". */
export const questionsOf = ({ asks }: Method): string =>
  asks.questions.map((question) => words[question][1]).join(", ");

/** How often a step asks with the default settings: "1 gradient, 1/10 Hessian product". */
export const evaluationsOf = (method: Method): string =>
  Object.entries(costsOf(method).evaluations)
    .map(([question, count]) => `${frequency(count)} ${words[question as Question][count > 1 ? 1 : 0]}`)
    .join(", ");

const frequency = (count: number): string => {
  if (count === parameterCount(exampleModel)) return "n";
  const interval = 1 / count;
  const whole = Math.abs(interval - Math.round(interval)) < 1e-9;
  return count < 1 && whole ? `1/${Math.round(interval)}` : formatSignificant(count, 6);
};

export const batches = {
  any: "of any size",
  large: "large: the noise of small ones harms",
  full: "all of the data, or one large batch that stays the same",
} as const;

/** "0.0001 – 0.01 (log)"; empty where nothing is known. */
export function typicalText({ typical }: Option<unknown>): string {
  if (!typical) return "";
  const [from, to] = [typical.from, typical.to].map(String);
  const scale = { log: "log", linear: "linear", complement: "log of 1 − x" }[typical.scale];
  return `${from} – ${to} (${scale})`;
}

/** Everything about a method, as values that JSON holds. */
export const describeMethod = (method: Method) => ({
  name: method.name,
  family: method.family,
  description: method.description,
  reference: method.reference,
  asks: method.asks,
  treats: method.treats,
  settings: Object.entries(method.options).map(([name, { read: _, ...option }]) => ({ name, ...option })),
  costs: { model: exampleName, ...costsOf(method) },
});

/** 1234567 → "1.23 M". */
function formatFlops(flops: number): string {
  const power = Math.min(5, Math.floor(Math.log10(Math.max(1, flops)) / 3));
  return `${formatSignificant(flops / 1000 ** power, 3)} ${["", "k", "M", "G", "T", "P"][power]}`.trim();
}

/** Rows of [part, formula, number]: state and workspace in elements, work in FLOPs a step. */
export function costRows(method: Method): readonly (readonly [string, string, string])[] {
  const { state, workspace, work } = costsOf(method);
  return [
    ...state.map(
      ({ part, formula, elements }) => [part, formula, `${formatCount(elements)} numbers`] as const,
    ),
    ...workspace.map(
      ({ part, formula, elements }) =>
        [`workspace: ${part}`, formula, `${formatCount(elements)} numbers`] as const,
    ),
    ...work.map(({ part, formula, flops }) => [`FLOPs: ${part}`, formula, formatFlops(flops)] as const),
  ];
}
