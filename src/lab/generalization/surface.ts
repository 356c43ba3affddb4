/** The loss surface of a problem, at any place: what is measured of one solution, and of the line between two. */
import { averageGradient, averageOperator, type Batches } from "../../curvature/average.js";
import { hutchinson } from "../../curvature/hutchinson.js";
import { extremeEigenpairs } from "../../curvature/lanczos.js";
import { curvatureOperator } from "../../curvature/operator.js";
import { spectralDensity } from "../../curvature/spectral-density.js";
import { norm } from "../../curvature/vector.js";
import type { Runtime } from "../../runtime/runtime.js";
import { UserError } from "../errors.js";
import type { Problem } from "../problem.js";
import { restore } from "../run.js";
import { readArrays } from "../run-record.js";
import { modelArrays } from "../session.js";
import { aligned, denseChain } from "./alignment.js";
import type { Line, Performance, Solution } from "./measured.js";
import { interpolate, type Place, separation, sharesOf } from "./path.js";
import { sharpness } from "./sharpness.js";

export interface SurfaceOptions {
  /** Of batches and estimates. */
  readonly seed: number;
  /** Curvature and sharpness are of the mean loss of `batches` batches of so many examples. */
  readonly batch: number;
  readonly batches: number;
  /** Eigenvalues from the upper end. */
  readonly top: number;
  /** Radii ρ of the balls, and steps of ascent in them (sharpness.ts). */
  readonly radius: number;
  readonly adaptiveRadius: number;
  readonly ascent: number;
  /** Points of a line, the ends among them. */
  readonly points: number;
}

export interface Surface {
  /** Where a run of this seed began. */
  start(seed: number): Place;
  /** Where the run in a folder ended. @throws UserError when its checkpoint does not fit the problem. */
  read(folder: string): Place;
  /** The work is in parts; between them, `onPart` may end it by throwing. */
  measure(place: Place, start: Place, onPart: OnPart): Promise<Solution>;
  /** `start` is that of both; undefined where they have none in common. */
  line(from: Place, to: Place, start: Place | undefined, onPart: OnPart): Promise<Line>;
  release(): void;
}

/** Called before each part of the work. */
export type OnPart = (part: string) => Promise<void>;

/** Random starts of Lanczos' iteration, and its steps, for the distribution of eigenvalues. */
const [probes, probeSteps] = [4, 60];
const traceSamples = 30;

/**
 * Compiles what a problem needs to be measured.
 *
 *     const surface = openSurface(runtime, problem, options);
 *     await surface.measure(surface.read("runs/one"), surface.start(0), async () => {});
 *
 * @throws UserError when the problem has no loss that is a function of its parameters alone.
 */
export function openSurface(runtime: Runtime, problem: Problem, options: SurfaceOptions): Surface {
  const { seed, batch, top, points } = options;
  const { name } = problem.settings;
  const instance = problem.start(runtime, { seed, batch });
  const { objective, load } = instance;
  if (objective.players || instance.state) {
    instance.release();
    throw new UserError(
      objective.players
        ? `"${name}" is a game: its players have losses of their own, and there is no surface on which solutions lie`
        : `"${name}" has no fixed loss: its episodes depend on the parameters; there is no surface on which solutions lie`,
    );
  }
  const batches: Batches = { count: instance.sameBatch ? 1 : options.batches, load };
  const hessian = curvatureOperator(objective, "hessian");
  const operator = averageOperator(hessian, batches);
  const here = (): Place => ({
    parameters: Float64Array.from(objective.parameters.data),
    state: objective.state && Float64Array.from(objective.state.data),
  });
  const initial = here();
  const starts = new Map<number, Place>();
  const moveTo = ({ parameters, state }: Place) => {
    objective.parameters.data.set(parameters);
    if (state) objective.state!.data.set(state);
  };
  const meanLoss = () => {
    let loss = 0;
    for (let k = 0; k < batches.count; k++) {
      load(k);
      loss += objective.loss() / batches.count;
    }
    return loss;
  };
  /** Metrics of a problem that tells of its training data too are told once. */
  const perform = (): Performance => ({
    train: instance.evaluateTraining?.() ?? { loss: meanLoss() },
    test: Object.fromEntries(
      Object.entries((instance.test ?? instance.evaluate)()).filter(
        ([metric]) => !/^training[A-Z]/.test(metric),
      ),
    ),
  });

  const along = async (from: Place, to: Place, onPart: OnPart) => {
    const measured: Performance[] = [];
    for (const share of sharesOf(points)) {
      await onPart(`${measured.length + 1} of ${points} points`);
      interpolate(objective.parameters.data, from.parameters, to.parameters, share);
      if (from.state) interpolate(objective.state!.data, from.state, to.state!, share);
      measured.push(perform());
    }
    return measured;
  };
  const chain = denseChain(objective.layout);
  /** Whether the loss does not see that the units have another order. */
  const isSymmetry = (turned: Place, { test }: Performance) => {
    moveTo(turned);
    const loss = perform().test.loss!;
    return Math.abs(loss - test.loss!) <= 1e-3 * Math.abs(test.loss!);
  };

  return {
    start(of) {
      let place = starts.get(of) ?? (of === seed ? initial : undefined);
      if (!place) {
        const other = problem.start(runtime, { seed: of, batch });
        const { parameters, state } = other.objective;
        place = {
          parameters: Float64Array.from(parameters.data),
          state: state && Float64Array.from(state.data),
        };
        other.release();
      }
      starts.set(of, place);
      return place;
    },
    read(folder) {
      restore(modelArrays(objective), readArrays(folder), folder);
      return here();
    },
    async measure(place, start, onPart) {
      moveTo(place);
      await onPart("training and test data");
      const performance = perform();
      await onPart("sharpness");
      const ball = { steps: options.ascent };
      const plain = sharpness(objective, batches, { ...ball, radius: options.radius, adaptive: false });
      const adaptive = sharpness(objective, batches, {
        ...ball,
        radius: options.adaptiveRadius,
        adaptive: true,
      });
      const { loss: batchLoss, gradient } = averageGradient(objective, batches);
      await onPart("eigenvalues");
      const n = objective.layout.size;
      const { largest, smallest } = extremeEigenpairs(operator, {
        largest: Math.min(top, n),
        smallest: 1,
        steps: 120,
        tolerance: 1e-4,
        seed,
      });
      await onPart("trace");
      const { trace } = hutchinson(operator, { samples: traceSamples, seed });
      const found: { node: number; weight: number }[] = [];
      for (let probe = 0; probe < probes; probe++) {
        await onPart(`spectrum, ${probe + 1} of ${probes}`);
        const { nodes, weights } = spectralDensity(operator, {
          probes: 1,
          steps: probeSteps,
          seed: seed + probe,
          points: 1,
        });
        nodes.forEach((node, k) => {
          found.push({ node, weight: weights[k]! / probes });
        });
      }
      found.sort((a, b) => a.node - b.node);
      return {
        ...performance,
        size: n,
        examples: batches.count * batch,
        batchLoss,
        gradientNorm: norm(gradient),
        eigenvalues: largest.map(({ value }) => value),
        smallest: smallest[0]!.value,
        trace,
        spectrum: { nodes: found.map(({ node }) => node), weights: found.map(({ weight }) => weight) },
        sharpness: plain,
        adaptive,
        norm: norm(place.parameters),
        moved: separation(place.parameters, start.parameters, undefined).distance,
      };
    },
    async line(from, to, start, onPart) {
      const { distance, cosine } = separation(from.parameters, to.parameters, start?.parameters);
      const straight = await along(from, to, onPart);
      const turned = chain && { ...to, parameters: aligned(chain, from.parameters, to.parameters) };
      const line = { distance, ...(cosine === undefined ? {} : { cosine }), points: straight };
      if (!turned || !isSymmetry(turned, straight.at(-1)!)) return line;
      const separate = separation(from.parameters, turned.parameters, undefined);
      return {
        ...line,
        aligned: { distance: separate.distance, points: await along(from, turned, onPart) },
      };
    },
    release() {
      hessian.release();
      instance.release();
    },
  };
}
