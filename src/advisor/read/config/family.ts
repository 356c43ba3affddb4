/**
 * What the readers of the families share. A family takes a config.json, which gives widths and depths, to the layers that
 * its checkpoints have; text and image models have their own ways to say how long an example is and what is predicted.
 */
import * as v from "valibot";
import type { LayerShape } from "../../../curvature/model-shape.js";
import { AdvisorError } from "../../error.js";
import type { Architecture } from "../../model.js";
import { parseFields, whole, width } from "../fields.js";

export const depth = whole(10_000);

export type Parts = Omit<Architecture, "name" | "storedBytes" | "activations">;
export interface Family {
  read(config: unknown, tokens: number | undefined): Parts;
}

export const labels = {
  num_labels: v.optional(width),
  id2label: v.optional(v.record(v.string(), v.unknown())),
};
export const labelsOf = (c: {
  num_labels?: number | undefined;
  id2label?: Readonly<Record<string, unknown>> | undefined;
}): number => c.num_labels ?? Object.keys(c.id2label ?? {}).length;
export const noLabels = "no labels are named (id2label): the classifier is not counted";

export const attentionNote = "attention is counted over all pairs of places, and its scores are not kept";

export const parse = <S extends v.GenericSchema>(schema: S, config: unknown) =>
  parseFields(schema, config, "config.json");

export const repeat = (times: number, layers: (k: number) => readonly LayerShape[]): LayerShape[] =>
  Array.from({ length: times }, (_, k) => layers(k)).flat();

export function tokensOf(given: number | undefined, longest: number): number {
  if (given !== undefined && given > longest)
    throw new AdvisorError(`sequences of ${given} tokens are longer than the model's ${longest}`);
  return given ?? longest;
}

export const sequence = (tokens: number) => `sequence of ${tokens.toLocaleString("en-US")} tokens`;
