/**
 * EKFAC. George, Laurent, Bouthillier, Ballas, Vincent 2018, "Fast approximate natural gradient descent in a
 * Kronecker-factored eigenbasis": K-FAC's eigenvectors, with the second moments of the gradients in them instead of
 * the products of eigenvalues:
 *
 *     S ← ρ S + (1 − ρ) E[(E_A D E_Gᵀ)²],   d = E_Aᵀ [(E_A (∇L by [W; b]) E_Gᵀ) / (S + λ)] E_G,   θ ← θ − η m
 *
 * with D an example's gradient, and m of d, the intervals and the length of steps as in K-FAC.
 */
import { kroneckerCosts } from "./kfac/costs.js";
import { eigenbases } from "./kfac/eigenbases.js";
import { checkSettings, kroneckerOptions, kroneckerTreatment } from "./kfac/settings.js";
import { startKronecker } from "./kfac/training.js";
import { defineMethod } from "./method.js";

/**
 *     const training = ekfac.create({ damping: 0.03, inverseInterval: 50 }).start(objective);
 */
export const ekfac = defineMethod(
  {
    name: "ekfac",
    family: "second order",
    description:
      "K-FAC with second moments corrected in its eigenbasis: a closer curvature for rarer decompositions.",
    reference:
      "George et al. 2018, Fast approximate natural gradient descent in a Kronecker-factored eigenbasis",
    asks: {
      questions: ["gradients", "factors", "losses", "gaussNewtonVectorProducts"],
      batch: "any",
    },
    treats: kroneckerTreatment,
    costs: (shape, settings, batch) => kroneckerCosts(shape, { ...settings, inverse: "eigenbasis" }, batch),
    options: kroneckerOptions,
  },
  (settings) => {
    checkSettings("ekfac", settings);
    const { sharing, factorDecay: decay } = settings;
    return {
      name: "ekfac",
      settings,
      start: (objective) =>
        startKronecker("ekfac", objective, settings, ({ blocks, factors }) =>
          eigenbases(objective.runtime, objective.dtype, blocks, factors, { sharing, decay }),
        ),
    };
  },
);
