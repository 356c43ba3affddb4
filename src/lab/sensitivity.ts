/** How much a result depends on each setting: one moved through its range, the others fixed. */
import { join } from "node:path";
import type { Runtime } from "../runtime/runtime.js";
import type { Problem } from "./problem.js";
import { recordedRun } from "./recorded-run.js";
import type { RunRecord } from "./run-record.js";
import { bestOf, median, qualityOf } from "./score.js";
import { decadesOf, type Range, valueAt } from "./search.js";
import type { OptimizerSettings } from "./settings.js";
import { runSettingsOf, type TuneOptions, type TuneRecord } from "./tune.js";

/** One setting moved through its range, the others fixed. */
export interface Sensitivity {
  readonly setting: string;
  readonly points: readonly {
    readonly value: number;
    /** Median over seeds of the best value of the quality within the budget; NaN where every run diverged. */
    readonly best: number;
    readonly diverged: number;
  }[];
  /**
   * Mean of |change of the quality| per factor of ten of the setting (of 1 − x for decay rates; per range of a linear
   * one), between neighbours that did not diverge; NaN where there are none.
   */
  readonly perDecade: number;
}

const places = 5;

/**
 * Moves each range's setting through five values, the others as in `base`, with the whole budget: no target ends a run,
 * and none is ended early.
 *
 *     const rows = await sensitivity(runtime, problem, record, record.trials[0]!.optimizer);
 *     rows[0]!.perDecade;   // change of the quality per factor of ten of that setting
 *
 * @throws UserError when the folder cannot be written.
 */
export async function sensitivity(
  runtime: Runtime,
  problem: Problem,
  { folder, settings }: Pick<TuneRecord, "folder" | "settings">,
  base: OptimizerSettings,
  options: TuneOptions = {},
): Promise<Sensitivity[]> {
  const quality = qualityOf(settings.limits);
  const { target: _, ...limits } = settings.limits;
  const rows: Sensitivity[] = [];
  const total = Object.keys(settings.ranges).length * places * settings.seeds.length;
  let done = 0;
  for (const [setting, range] of Object.entries(settings.ranges)) {
    const points: Sensitivity["points"][number][] = [];
    for (let place = 0; place < places; place++) {
      const value = valueAt(range, place / (places - 1));
      const optimizer = { ...base, settings: { ...base.settings, [setting]: value } };
      const runs: RunRecord[] = [];
      for (const seed of settings.seeds) {
        if (options.signal?.aborted) return rows;
        const label = `${setting}=${value}`;
        options.onStart?.(label, done++, total);
        const run = await recordedRun(
          runtime,
          problem,
          join(folder, "sensitivity", `${setting}-${place}`, `seed-${seed}`),
          { ...runSettingsOf(settings, optimizer, seed), limits },
          { signal: options.signal, onProgress: options.onProgress },
        );
        options.onEnd?.(label, run);
        runs.push(run);
      }
      const arrived = runs.filter(({ result }) => result?.reason !== "diverged");
      points.push({
        value,
        best: median(arrived.map(({ measurements }) => bestOf(measurements, quality))),
        diverged: runs.length - arrived.length,
      });
    }
    rows.push({ setting, points, perDecade: changePerDecade(range, points) });
  }
  return rows;
}

function changePerDecade(range: Range, points: Sensitivity["points"]): number {
  const changes = points.slice(1).flatMap(({ value, best }, k) => {
    const before = points[k]!;
    const decades = decadesOf({ ...range, from: before.value, to: value });
    const share = range.scale === "linear" ? (value - before.value) / (range.to - range.from) : decades;
    return share > 0 && Number.isFinite(best - before.best) ? [Math.abs(best - before.best) / share] : [];
  });
  return changes.reduce((sum, change) => sum + change, 0) / changes.length;
}
