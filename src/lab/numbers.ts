/** The numbers that settings and results are made of, as files may hold them: JSON has no integers and no limits. */
import * as v from "valibot";

export const finite = v.pipe(v.number(), v.finite());
export const positive = v.pipe(finite, v.gtValue(0));
export const notNegative = v.pipe(finite, v.minValue(0));
/** A whole number of at least 0. */
export const natural = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** A whole number of at least 1. */
export const count = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
/** Of whatever is random in a run. */
export const seed = v.pipe(natural, v.maxValue(2 ** 31 - 1));
