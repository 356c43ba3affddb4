/** Fields of a model's JSON: whole numbers within bounds, and one line that names the field which is wrong. */
import * as v from "valibot";
import { AdvisorError } from "../error.js";

export const whole = (most: number, least = 1) =>
  v.pipe(
    v.number("must be a number"),
    v.integer("must be a whole number"),
    v.minValue(least, `must be at least ${least}`),
    v.maxValue(most, `must be at most ${most.toLocaleString("en-US")}`),
  );

/** Of numbers that a layer has in parallel. */
export const width = whole(1e8);

export const flag = (fallback: boolean) => v.optional(v.boolean("must be true or false"), fallback);

/**
 * What a schema makes of a value.
 *
 * @param where - what the message begins with: "config.json".
 * @throws AdvisorError naming the first field that is missing or wrong.
 */
export function parseFields<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  where: string,
): v.InferOutput<S> {
  const { success, issues, output } = v.safeParse(schema, value);
  if (success) return output;
  const [issue] = issues;
  const field = v.getDotPath(issue)?.slice(0, 60) ?? "it";
  throw new AdvisorError(
    issue.input === undefined
      ? `${where}: ${field} is missing`
      : `${where}: ${field} is ${String(JSON.stringify(issue.input)).slice(0, 40)}: ${issue.message}`,
  );
}
