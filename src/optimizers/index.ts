export type { Evaluations, Optimizer, StepReport, Training } from "./optimizer.js";
