/**
 * Burgers' equation, ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x² for x from −1 to 1 and times from 0 to 1, u = −sin πx at time 0 and 0 at
 * the ends: a wave that becomes steep, and where ν is small a shock at x = 0 (Raissi, Perdikaris, Karniadakis 2019). The
 * residual is no linear function of u. The solution is that of Cole and Hopf, with φ(y) = −cos(πy)/(2πν):
 *
 *     u(t, x) = −∫ sin(πy) e^E dy / ∫ e^E dy,   E = φ(y) − (x − y)²/(4νt)
 */
import { forwardLaplacian } from "../../autodiff/index.js";
import { type Options, positive } from "../../optimizers/settings.js";
import type { ProblemKind } from "../problem.js";
import { type Equation, type Interval, toSide } from "./collocation.js";
import { physicsInformed, pinnOptions, secondOrder } from "./pinn.js";

const options = {
  viscosity: positive(0.01 / Math.PI, "ν"),
  ...pinnOptions({ boundary: 200, redraw: 20, sampling: "residual", hidden: "20-20-20" }),
} as const satisfies Options;

/**
 * u(t, x) to about twelve digits by the trapezoidal rule, which converges exponentially for such integrands. In
 * z = (y − x)/√(4νt) they are never narrower than 1/√(2 + 2πt), and beyond z² = 1/(πν), by which φ can differ, they fall
 * as e^(−z²).
 *
 *     burgers(0.01 / Math.PI, 0.5, 0.25)
 */
export function burgers(nu: number, t: number, x: number): number {
  if (t <= 0) return -Math.sin(Math.PI * x);
  const step = spacing * Math.sqrt(4 * nu * t);
  const nodes = Math.ceil((1 / Math.sqrt(Math.PI * nu) + 6) / spacing);
  const E = new Float64Array(2 * nodes + 1);
  let greatest = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < E.length; k++) {
    const j = k - nodes;
    E[k] = -Math.cos(Math.PI * (x + j * step)) / (2 * Math.PI * nu) - (j * spacing) ** 2;
    if (E[k]! > greatest) greatest = E[k]!;
  }
  let [above, below] = [0, 0];
  for (let k = 0; k < E.length; k++) {
    // What is less than e^(−40) of the greatest is lost in rounding.
    if (E[k]! < greatest - 40) continue;
    const weight = Math.exp(E[k]! - greatest);
    above -= Math.sin(Math.PI * (x + (k - nodes) * step)) * weight;
    below += weight;
  }
  return above / below;
}
const spacing = 0.1;

/** Points are (t, x). */
function burgersEquation(nu: number): Equation {
  const box: Interval[] = [
    [0, 1],
    [-1, 1],
  ];
  return {
    name: "Burgers' equation",
    box,
    operator(u, x) {
      const { first, laplacian } = forwardLaplacian(u, x, { first: [0, 1], second: [1] });
      const [ut, ux] = first as [typeof u, typeof u];
      return ut.add(u.mul(ux)).sub(laplacian.mul(nu)).reshape([-1]);
    },
    source: () => 0,
    solution: ([t, x]) => burgers(nu, t!, x!),
    // The first half at the ends, the second at time 0.
    toBoundary(x, rng, k, total) {
      if (k < Math.floor(total / 2)) toSide(x, box, 1, rng);
      else x[0] = 0;
    },
  };
}

/** Far from the solution Gauss–Newton is no model of a nonlinear residual: λ must follow how well it foretells the loss. */
const newton = {
  curvature: "gaussNewton",
  globalization: "levenbergMarquardt",
  damping: 1e-3,
  tolerance: 1e-12,
};

export const pinnBurgers: ProblemKind<typeof options> = {
  name: "pinn-burgers",
  task: "differential-equation",
  description: "Burgers' equation with its shock by a physics-informed network, in f64",
  options,
  open: (given) =>
    physicsInformed(burgersEquation(given.viscosity), given, {
      defaults: {
        batch: 2000,
        steps: 5000,
        evaluateEvery: 10,
        target: { metric: "relativeError", value: 1e-3, goal: "min" },
      },
      suggested: { ...secondOrder, newton, adam: { learningRate: 1e-3 } },
    }),
};
