/** A meta-training driven to its end: validated, recorded and saved on the way. */
import type { Runtime } from "../../runtime/runtime.js";
import { startMetaTraining } from "./meta-train.js";
import type { MetaStore, Validation } from "./store.js";

export interface MetaStatus {
  readonly step: number;
  readonly steps: number;
  /** Updates a second since this process began. */
  readonly rate: number;
  readonly loss: number | undefined;
  readonly last: Validation | undefined;
}

export interface MetaResult {
  readonly reason: "steps" | "interrupted";
  readonly steps: number;
  readonly seconds: number;
  /** The step of the best weights, and their validation ℓ. */
  readonly best: { readonly step: number; readonly loss: number };
}

/** The loop gives way to signals after so many milliseconds. */
const patience = 30;

/**
 *     const store = await createMetaTraining(folder, metaDefaults, describeEnvironment(runtime));
 *     const { best } = await metaTrain(runtime, store);
 *
 * @throws UserError when the folder cannot be written.
 */
export async function metaTrain(
  runtime: Runtime,
  store: MetaStore,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (status: MetaStatus) => void } = {},
): Promise<MetaResult> {
  const { settings, checkpoint } = store;
  const training = startMetaTraining(runtime, settings, checkpoint?.state);
  const { state } = training;
  let { seconds, lossSum, normSum } = checkpoint?.progress ?? { seconds: 0, lossSum: 0, normSum: 0 };
  const [first, began] = [state.step, performance.now()];
  let [clock, yielded] = [began, began];
  let loss: number | undefined;
  const tick = () => {
    const now = performance.now();
    seconds += (now - clock) / 1000;
    clock = now;
  };
  const save = () => {
    tick();
    store.save(state, { seconds, lossSum, normSum });
  };
  const validate = () => {
    const before = state.best.loss;
    const validation = training.validate();
    tick();
    const since = state.step - (store.validations.at(-1)?.step ?? 0);
    store.append({
      step: state.step,
      seconds,
      ...(since > 0 ? { loss: lossSum / since, gradientNorm: normSum / since } : {}),
      validation,
      best: state.best.loss,
    });
    lossSum = 0;
    normSum = 0;
    if (state.best.loss < before) store.saveBest(state);
    save();
  };
  const status = (): MetaStatus => ({
    step: state.step,
    steps: settings.steps,
    rate: (state.step - first) / Math.max((performance.now() - began) / 1000, 1e-9),
    loss,
    last: store.validations.at(-1),
  });

  try {
    if (store.validations.at(-1)?.step !== state.step && state.step % settings.validateEvery === 0)
      validate();
    while (state.step < settings.steps && !options.signal?.aborted) {
      const report = training.step();
      ({ loss } = report);
      lossSum += report.loss;
      normSum += report.gradientNorm;
      if (state.step % settings.validateEvery === 0) validate();
      options.onProgress?.(status());
      if (performance.now() - yielded >= patience) {
        await new Promise((resolve) => setImmediate(resolve));
        yielded = performance.now();
      }
    }
    const reason = state.step < settings.steps ? "interrupted" : "steps";
    if (state.step % settings.validateEvery !== 0) {
      if (reason === "steps") validate();
      else save();
    }
    tick();
    return {
      reason,
      steps: state.step,
      seconds,
      best: { step: state.best.step, loss: state.best.loss },
    };
  } finally {
    training.release();
  }
}
