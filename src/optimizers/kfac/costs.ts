/** What kfac and ekfac keep and compute, layer by layer: a layer's blocks are those of curvature/kronecker/blocks.ts. */
import { factorShapes, hasEigenbasis, kindOfLayer, type Structure } from "../../curvature/kronecker/index.js";
import { type LayerShape, type ModelShape, parameterCount } from "../../curvature/model-shape.js";
import {
  type Costs,
  decayMask,
  every,
  outputsOf,
  scalars,
  sharedFlops,
  sizeOfArray,
  vectors,
} from "../costs.js";
import type { KroneckerSettings } from "./settings.js";

/** Matrices as large as the largest factor that an inversion works in. */
const scratchMatrices = { cholesky: 0, eigen: 2, newtonSchulz: 3, eigenbasis: 2 };

/** FLOPs of one inversion, in n³; of newtonSchulz about 20 iterations of two products. */
const inversionFlops = { cholesky: 1, eigen: 11, newtonSchulz: 80, eigenbasis: 9 };

type FactorSettings = Pick<
  KroneckerSettings,
  "factorInterval" | "inverseInterval" | "estimator" | "sharing"
> & {
  readonly inverse: keyof typeof inversionFlops;
  readonly structure?: Structure;
};

/** Elements and FLOPs of factors and inverses: of one estimate, one inversion, one product with F⁻¹. */
export function factorCosts(shape: ModelShape, settings: FactorSettings, batch: number) {
  const corrected = settings.inverse === "eigenbasis";
  const blocks = shape.layers.map((layer) => ({ ...layer, kind: kindOfLayer(layer) }));
  type Block = (typeof blocks)[number];
  const sum = (of: (block: Block) => number) => blocks.reduce((all, block) => all + of(block), 0);
  const elements = (block: Block) =>
    factorShapes(block).reduce((all, axes) => all + sizeOfArray({ name: "", shape: axes }), 0);
  // A link i → j is told from the widths; the graph, which training reads, is not in the shape.
  const links = settings.structure === "blockTridiagonal" ? neighbours(shape) : [];
  const overLinks = (of: (i: LayerShape, j: LayerShape) => number) =>
    links.reduce((all, [i, j]) => all + of(i, j), 0);
  const between = overLinks((i, j) => i.inputs * j.inputs + i.outputs * j.outputs);
  const conditional = overLinks((i) => i.inputs ** 2 + i.outputs ** 2 + i.inputs + i.outputs);
  const factors = sum(elements) + between;
  const rotated = blocks.filter(hasEigenbasis);
  const moments = corrected ? rotated.reduce((all, block) => all + block.inputs * block.outputs, 0) : 0;
  const inverses = corrected
    ? sum((block) => elements(block) - (block.kind === "embedding" ? block.inputs : 0))
    : factors + conditional;

  const scratch = scratchMatrices[settings.inverse];
  const largest = Math.max(
    1,
    ...blocks.flatMap(({ kind, inputs, outputs }) =>
      kind === "diagonal" ? [] : kind === "embedding" ? [outputs] : [inputs, outputs],
    ),
  );

  // Inversions wait for an estimate.
  const { factorInterval: T1 } = settings;
  const T2 = Math.ceil(settings.inverseInterval / T1) * T1;
  const draws = settings.estimator === "exact" ? outputsOf(shape) : 1;
  const rowsOf = ({ kind, positions }: Block) =>
    batch * (settings.sharing === "reduce" && kind !== "embedding" ? 1 : positions);
  const statistics = sum((block) => {
    const { kind, inputs, outputs } = block;
    switch (kind) {
      case "kronecker":
        return rowsOf(block) * 2 * (inputs ** 2 + draws * outputs ** 2);
      case "embedding":
        return rowsOf(block) * 2 * draws * outputs ** 2;
      case "full":
        return 2 * draws * batch * inputs ** 2;
      case "diagonal":
        return 2 * draws * batch * inputs;
    }
  });
  const linked = overLinks((i, j) => 2 * batch * (i.inputs * j.inputs + draws * i.outputs * j.outputs));
  const observation = sum((block) => {
    const { kind, inputs, outputs } = block;
    const rotation = 2 * draws * rowsOf(block) * (outputs ** 2 + outputs);
    if (!corrected || !hasEigenbasis(block)) return 0;
    return kind === "embedding" ? rotation : rotation + 2 * rowsOf(block) * inputs * (inputs + outputs + 1);
  });
  // EKFAC decomposes factors, and inverts full blocks by eigenvectors.
  const each = inversionFlops[settings.inverse];
  const inversion = sum(({ kind, inputs, outputs }) => {
    switch (kind) {
      case "kronecker":
        return each * (inputs ** 3 + outputs ** 3);
      case "embedding":
        return each * outputs ** 3;
      case "full":
        return (corrected ? inversionFlops.eigen : each) * inputs ** 3;
      case "diagonal":
        return inputs;
    }
  });
  // Two decompositions, three products of n³ and two between the widths, on either side.
  const simultaneous = overLinks((i, j) =>
    (["inputs", "outputs"] as const).reduce((all, side) => {
      const [n, m] = [i[side], j[side]];
      return all + 2 * 9 * n ** 3 + 3 * 2 * n ** 3 + 2 * n * m * (n + m);
    }, 0),
  );
  const along = overLinks(
    (i, j) =>
      2 * i.inputs * i.outputs * (i.inputs + i.outputs) +
      2 * (i.inputs * j.inputs * j.outputs + i.inputs * j.outputs * i.outputs) +
      2 * (j.inputs * i.inputs * i.outputs + j.inputs * i.outputs * j.outputs),
  );
  const products = sum(({ kind, inputs, outputs }) => {
    const ways = corrected ? 2 : 1;
    switch (kind) {
      case "kronecker":
        return ways * 2 * inputs * outputs * (inputs + outputs);
      case "embedding":
        return ways * 2 * inputs * outputs ** 2 + inputs * outputs;
      case "full":
        return 2 * inputs ** 2;
      case "diagonal":
        return inputs;
    }
  });
  return {
    /** Updates from one inversion to the next. */
    inverseInterval: T2,
    draws,
    factors,
    inverses,
    moments,
    scratch: scratch * largest ** 2,
    estimate: statistics + linked,
    observation,
    inversion: inversion + simultaneous,
    product: products + along,
  };
}

export function kroneckerCosts(
  shape: ModelShape,
  settings: KroneckerSettings & FactorSettings,
  batch: number,
): Costs {
  const n = parameterCount(shape);
  const corrected = settings.inverse === "eigenbasis";
  const {
    inverseInterval: T2,
    draws,
    factors,
    inverses,
    moments,
    scratch,
    ...flops
  } = factorCosts(shape, settings, batch);
  const { factorInterval: T1 } = settings;
  const each = inversionFlops[settings.inverse];
  const quadratic = settings.step === "quadratic";
  const elementwise =
    (quadratic ? 26 : (corrected ? 16 : 14) + (settings.momentum > 0 ? 2 : 0)) + sharedFlops(settings);
  // New eigenvectors are observed on the batch that they come from, by a program of their own.
  const observations = corrected ? 1 / T1 + 1 / T2 : 1 / T1;
  const sampled = settings.estimator === "empirical" ? 0 : draws * observations;
  const tried = quadratic && settings.dampingInterval > 0 ? 1 / settings.dampingInterval : 0;
  const losses = tried + (corrected ? 1 / T2 : 0);
  return {
    state: [
      { part: "factors", formula: "Σ in² + out²", elements: factors },
      corrected
        ? { part: "bases", formula: "Σ in² + out²", elements: inverses }
        : { part: "inverses", formula: "Σ in² + out²", elements: inverses },
      ...vectors("moments", quadratic || settings.momentum > 0 ? 1 : 0, n),
      ...(corrected ? [{ part: "moments", formula: "Σ in·out", elements: moments } as const] : []),
      scalars(7),
    ],
    workspace: [
      // The gradient; on the way to a step, what the factors of either side have multiplied.
      ...vectors("vectors", 3, n),
      // Those of a batch are all there before one of them is averaged: if any is not finite, none is.
      { part: "factors of the batch", formula: "Σ in² + out²", elements: factors + moments },
      ...(scratch > 0
        ? [{ part: "scratch", formula: `${scratchMatrices[settings.inverse]} largest²`, elements: scratch }]
        : []),
      ...decayMask(settings, shape),
    ],
    work: [
      {
        part: "curvature",
        formula: corrected
          ? `${every(T1, "2 rows Σ (in² + out²)")} + 2 rows Σ (in² + out² + in·out) (1/${T1} + 1/${T2})`
          : every(T1, "2 rows Σ (in² + out²)"),
        flops: (flops.estimate + 5 * factors) / T1 + (flops.observation + 6 * moments) * observations,
      },
      {
        part: "inversion",
        formula: every(T2, `${each === 1 ? "" : `${each} `}Σ (in³ + out³)`),
        flops: flops.inversion / T2,
      },
      {
        part: "update",
        formula: `${corrected ? 4 : 2} Σ in·out·(in + out) + ${elementwise}n`,
        flops: flops.product + elementwise * n,
      },
    ],
    evaluations: {
      gradients: 1,
      factors: 1 / T1,
      ...(sampled > 0 && { sampledGradients: sampled }),
      ...(quadratic && { gaussNewtonVectorProducts: 2 }),
      ...(losses > 0 && { losses }),
    },
  };
}

/** Dense layers that act once, each with the next one, where the widths fit. */
const neighbours = ({ layers }: ModelShape): readonly (readonly [LayerShape, LayerShape])[] =>
  layers.flatMap((j, k) => {
    const i = layers[k - 1];
    const acts = (layer: LayerShape) => layer.kind === "dense" && layer.uses === 1 && layer.positions === 1;
    const fits = i && acts(i) && acts(j) && i.outputs === j.inputs - (j.arrays.length - 1);
    return fits ? [[i, j] as const] : [];
  });
