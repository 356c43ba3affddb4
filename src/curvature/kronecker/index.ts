/** What Kronecker-factored methods are made of; curvature/index.ts has the part that is asked for by itself. */
export {
  type BlockUses,
  blocksOf,
  type KroneckerBlock,
  kindOfLayer,
  kroneckerBlocks,
  needCurvature,
} from "./blocks.js";
export { crossShapes, type Link, linksOf, type Structure } from "./chains.js";
export { type KroneckerFactors, kroneckerFactors } from "./compute.js";
export { factoredDamping, meanDiagonal } from "./damping.js";
export { hasEigenbasis, secondMoments, solveInEigenbasis } from "./eigenbasis.js";
export { factorShapes, type Sharing } from "./factors.js";
export type { Estimator } from "./gradients.js";
export { createInverter, type InverseMethod, type Inverter } from "./inverses.js";
export { createPencil, type Pencil } from "./pencil.js";
export { matrixOfBlock, solveBlock, vectorOfBlocks } from "./precondition.js";
export { createSimultaneous } from "./simultaneous.js";
export { type FactorOptions, type TracedFactors, traceFactors } from "./statistics.js";
