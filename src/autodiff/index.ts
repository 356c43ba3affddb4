export { orZeros, pullback, pushforward } from "./derivative.js";
export { type Coordinates, forwardLaplacian, type InputDerivatives } from "./laplacian.js";
export { type Split, splitLinear } from "./split.js";
export {
  grad,
  hessian,
  hessianVectorProduct,
  jacobian,
  jvp,
  linearize,
  valueAndGrad,
  vjp,
} from "./transforms.js";
export { batch, type InAxis, vmap } from "./vmap.js";
