/** The Thalweg side of the races: one entry for each workload and operation. */
import type { Entry } from "./protocol.js";

export const entries: Entry[] = [];
