import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Question, recommendOptimizer } from "../../src/advisor/recommend.js";

/** The procedure as nested conditions, the form in which it was published. */
function published({ numParameters: n, batchSize: b, problemType: type, ...rest }: Question): string {
  const { trainingPhase: phase, computationalBudget: budget, implementationExpertise: expertise } = rest;
  if (n > 1_000_000_000) return "AdamW with careful LR schedule and warmup";
  if (b < 64) return "Adam with standard settings";
  if (type === "reinforcement_learning") {
    if (n < 1_000_000) return "Natural Gradient (TRPO/PPO style) or Adam";
    return "Adam with entropy regularization";
  }
  if (type === "scientific_computing" || type === "pde_solving") {
    if (n < 100_000_000) return "L-BFGS or K-FAC (ill-conditioning likely)";
    return "Adam with aggressive LR decay";
  }
  if (type === "sequence_modeling" && phase.toLowerCase().includes("rnn"))
    return "Adam or Hessian-Free (gradient pathologies common)";
  if (phase === "fine_tuning") {
    if (b >= 512 && n < 100_000_000) return "K-FAC (fast convergence, stable curvature)";
    return "AdamW with low LR";
  }
  if (phase === "early_training") return "Adam or SGD+momentum (exploration phase, curvature unreliable)";
  if (budget === "unlimited" && n < 100_000_000) {
    if (expertise === "high") return "K-FAC (potential iteration savings)";
    return "Adam (reliable, well-understood)";
  }
  return "AdamW with cosine LR schedule";
}

const base: Question = {
  numParameters: 50_000_000,
  batchSize: 256,
  problemType: "vision",
  trainingPhase: "early_training",
  computationalBudget: "limited",
  implementationExpertise: "medium",
};
const ask = (change: Partial<Question>) => recommendOptimizer({ ...base, ...change }).summary;

const numbers = [1, 999_999, 1e6, 99_999_999, 1e8, 1e9, 1_000_000_001];
const batches = [1, 63, 64, 511, 512];
const types = [
  "vision",
  "sequence_modeling",
  "language_modeling",
  "reinforcement_learning",
  "scientific_computing",
  "pde_solving",
  "Reinforcement_Learning",
];
const phases = ["early_training", "late_training", "fine_tuning", "rnn", "RNN early", "rnn_fine_tuning"];
const budgets = ["limited", "moderate", "unlimited"];
const expertises = ["low", "medium", "high", "High"];

test("every combination of thresholds and words answers as published; 13 answers in all", () => {
  const answers = new Set<string>();
  for (const numParameters of numbers)
    for (const batchSize of batches)
      for (const problemType of types)
        for (const trainingPhase of phases)
          for (const computationalBudget of budgets)
            for (const implementationExpertise of expertises) {
              const question = {
                numParameters,
                batchSize,
                problemType,
                trainingPhase,
                computationalBudget,
                implementationExpertise,
              };
              const { summary } = recommendOptimizer(question);
              expect(summary).toBe(published(question));
              answers.add(summary);
            }
  expect(answers.size).toBe(13);
});

test("any numbers and any words", () => {
  const word = fc.oneof(
    fc.constantFrom(...types, ...phases, ...budgets, ...expertises),
    fc.string({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(
      fc.record({
        numParameters: fc.integer({ min: 1, max: 2e9 }),
        batchSize: fc.integer({ min: 1, max: 4096 }),
        problemType: word,
        trainingPhase: word,
        computationalBudget: word,
        implementationExpertise: word,
      }),
      (question) => recommendOptimizer(question).summary === published(question),
    ),
    { seed: 1, numRuns: 500 },
  );
});

describe("thresholds", () => {
  test("the example of the text", () =>
    expect(ask({})).toBe("Adam or SGD+momentum (exploration phase, curvature unreliable)"));
  test("10⁹ parameters are not very large, one more is", () => {
    expect(ask({ numParameters: 1e9 })).toBe(
      "Adam or SGD+momentum (exploration phase, curvature unreliable)",
    );
    expect(ask({ numParameters: 1_000_000_001 })).toBe("AdamW with careful LR schedule and warmup");
    expect(ask({ numParameters: 1_000_000_001, batchSize: 1 })).toBe(
      "AdamW with careful LR schedule and warmup",
    );
  });
  test("63 collocation points and 64", () => {
    expect(ask({ problemType: "pde_solving", batchSize: 63 })).toBe("Adam with standard settings");
    expect(ask({ problemType: "pde_solving", batchSize: 64 })).toBe(
      "L-BFGS or K-FAC (ill-conditioning likely)",
    );
    expect(ask({ problemType: "scientific_computing", numParameters: 1e8 })).toBe(
      "Adam with aggressive LR decay",
    );
  });
  test("policies of 999,999 parameters and of a million", () => {
    const policy = { problemType: "reinforcement_learning" };
    expect(ask({ ...policy, numParameters: 999_999 })).toBe("Natural Gradient (TRPO/PPO style) or Adam");
    expect(ask({ ...policy, numParameters: 1e6 })).toBe("Adam with entropy regularization");
  });
  test("a phase with rnn comes before fine-tuning, for sequences only", () => {
    const phase = { trainingPhase: "rnn_fine_tuning", batchSize: 512 };
    expect(ask({ ...phase, problemType: "sequence_modeling" })).toBe(
      "Adam or Hessian-Free (gradient pathologies common)",
    );
    expect(ask({ trainingPhase: "RNN", problemType: "sequence_modeling" })).toBe(
      "Adam or Hessian-Free (gradient pathologies common)",
    );
    expect(ask(phase)).toBe("AdamW with cosine LR schedule");
  });
  test("fine-tuning at batches of 511 and 512", () => {
    const tuning = { trainingPhase: "fine_tuning", numParameters: 99_999_999 };
    expect(ask({ ...tuning, batchSize: 511 })).toBe("AdamW with low LR");
    expect(ask({ ...tuning, batchSize: 512 })).toBe("K-FAC (fast convergence, stable curvature)");
    expect(ask({ ...tuning, batchSize: 512, numParameters: 1e8 })).toBe("AdamW with low LR");
  });
  test("budget and expertise", () => {
    const late = { trainingPhase: "late_training", computationalBudget: "unlimited" };
    expect(ask({ ...late, implementationExpertise: "high" })).toBe("K-FAC (potential iteration savings)");
    expect(ask({ ...late, implementationExpertise: "High" })).toBe("Adam (reliable, well-understood)");
    expect(ask({ ...late, numParameters: 1e8 })).toBe("AdamW with cosine LR schedule");
    expect(ask({ ...late, computationalBudget: "limited" })).toBe("AdamW with cosine LR schedule");
  });
});

test("the branch, its facts and the methods that it names", () => {
  expect(recommendOptimizer({ ...base, batchSize: 8 })).toEqual({
    branch: "small batch",
    because: "batches below 64: curvature would be mostly noise",
    summary: "Adam with standard settings",
    methods: ["adam"],
  });
});

test("what is no question", () => {
  for (const numParameters of [0, -5, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => ask({ numParameters })).toThrow(
      `recommendOptimizer: numParameters is ${numParameters}; use a whole number of at least 1`,
    );
  expect(() => ask({ batchSize: 0 })).toThrow("batchSize is 0");
  expect(() => ask({ problemType: undefined as unknown as string })).toThrow(
    "problemType is undefined; use a text",
  );
});
