/** How heavy the tails of a layer's inputs are: a factor is a mean of squares, its noise is made of fourth powers. */
import { compile } from "../compiler/compile.js";
import { readUses, type Use } from "./kronecker/uses.js";
import { argumentsOf, type Objective } from "./objective.js";

export interface ActivationMoments {
  /** Of the layers whose inputs are numbers: an embedding's are none. */
  readonly layers: readonly ActivationLayer[];
  /** Adds the rows of the present batch at θ, model state and key as they are now. */
  add(): void;
  release(): void;
}

export interface ActivationLayer {
  readonly name: string;
  /** Width of the input: the channels of a convolution. */
  readonly units: number;
  /**
   * E(a − Ea)⁴/(Var a)² of each unit that varies, over all rows added so far: 3 of a normal, 9/5 of a uniform one; far
   * above where few rows decide.
   */
  kurtosis(): Float64Array;
}

/**
 * Collects moments of every marked layer's input.
 *
 *     const moments = activationMoments(objective);
 *     for (let k = 0; k < 32; k++) { load(k); moments.add(); }
 *     for (const { name, kurtosis } of moments.layers) console.log(name, kurtosis());
 */
export function activationMoments(objective: Objective): ActivationMoments {
  const given = argumentsOf(objective);
  const traced = objective.trace(given.parameters, given.batch, given.state, given.key);
  const { uses } = readUses([traced.outputs ?? traced.loss], given.parameters, objective.layout);
  const groups = new Map<string, Use[]>();
  for (const use of uses)
    if (use.mark.layer !== "embedding")
      groups.set(use.mark.name, [...(groups.get(use.mark.name) ?? []), use]);
  const sums = [...groups.values()].map((list) =>
    powers.map((power) =>
      list
        .map(({ input }) => {
          const rows = input.reshape([-1, input.shape.at(-1)!]);
          return Array.from({ length: power - 1 })
            .reduce<typeof rows>((x) => x.mul(rows), rows)
            .sum(0);
        })
        .reduce((a, b) => a.add(b)),
    ),
  );
  const executable = compile(
    objective.runtime,
    { inputs: given.inputs, outputs: sums.flat() },
    { inputs: given.buffers },
  );
  const layers = [...groups].map(([name, list], k) => {
    const units = list[0]!.input.shape.at(-1)!;
    const rows = list.reduce((sum, { input }) => sum + input.size / units, 0);
    const totals = powers.map(() => new Float64Array(units));
    let count = 0;
    return {
      name,
      units,
      add() {
        count += rows;
        totals.forEach((total, p) => {
          const { data } = executable.outputs[k * powers.length + p]!;
          for (let i = 0; i < units; i++) total[i]! += data[i]!;
        });
      },
      kurtosis() {
        const values: number[] = [];
        for (let i = 0; i < units; i++) {
          const [m1, m2, m3, m4] = totals.map((total) => total[i]! / count) as [
            number,
            number,
            number,
            number,
          ];
          const variance = m2 - m1 * m1;
          // What is left of equal numbers is rounding.
          if (variance <= 1e-10 * m2) continue;
          values.push((m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * m1 ** 4) / variance ** 2);
        }
        return Float64Array.from(values);
      },
    };
  });
  return {
    layers,
    add() {
      executable.run();
      for (const layer of layers) layer.add();
    },
    release: executable.release,
  };
}

const powers = [1, 2, 3, 4] as const;
