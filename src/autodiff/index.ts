export { pullback, pushforward } from "./derivative.js";
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
export { batch, vmap } from "./vmap.js";
