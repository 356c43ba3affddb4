/** `thalweg costs`: what every method would cost on a model, before anything is trained. */
import pc from "picocolors";
import {
  allCosts,
  costsOf,
  describeBytes,
  formatPower,
  type MethodCosts,
  type Setting,
} from "../advisor/costs.js";
import { findHardware, type Hardware } from "../advisor/hardware.js";
import { measureHardware } from "../advisor/measure.js";
import { type Architecture, forwardFlops } from "../advisor/model.js";
import { minimumBatch } from "../advisor/ranking.js";
import { parameterCount } from "../curvature/model-shape.js";
import { UsageError } from "../lab/errors.js";
import { formatCount, formatSeconds, formatSignificant } from "../lab/format.js";
import { findMethod, type OptimizerName, optimizers } from "../optimizers/registry.js";
import type { Runtime } from "../runtime/runtime.js";
import type { CostFlags } from "./flags.js";
import { openModel } from "./model.js";
import { readBytes, readCount, readEngine, readOptimizer } from "./options.js";
import { openRuntime } from "./setup.js";
import { formatTable, plain, print, printJson, say, symbol } from "./text.js";

export async function costs(modelText: string, flags: CostFlags): Promise<void> {
  const batch = readCount("batch", flags.batch);
  const workers = readCount("workers", flags.workers) ?? 1;
  const memory = readBytes("memory", flags.memory);
  const precision = flags.precision ?? "f32";
  if (precision !== "f32" && precision !== "mixed")
    throw new UsageError(`--precision is "${precision}"; use f32 or mixed`);
  const chosen = (flags.optimizer ?? []).map(readOptimizer);
  for (const { name, settings } of chosen) findMethod(name).create(settings);
  let started: Runtime | undefined;
  const runtime = async () => {
    started ??= await openRuntime(readEngine(flags));
    return started;
  };
  try {
    const tokens = readCount("tokens", flags.tokens);
    const opened = await openModel(modelText, { batch, tokens }, runtime);
    const { model } = opened;
    const hardware =
      flags.hardware === "here" ? measureHardware(await runtime()) : findHardware(flags.hardware ?? "a100");
    const { sharded } = flags;
    const setting: Setting = {
      batch: opened.batch ?? batch ?? 64,
      hardware,
      precision,
      workers,
      sharded,
      memory,
    };
    const rows =
      chosen.length > 0
        ? chosen.map(({ name, settings }) => costsOf(model, name as OptimizerName, settings, setting))
        : allCosts(model, setting);
    if (flags.json)
      printJson({
        model: { ...model, parameters: parameterCount(model) },
        setting,
        costs: rows.map((row) => ({ ...row, minimumBatch: leastBatch(model, row.method) })),
      });
    else show(model, setting, rows);
  } finally {
    await started?.close();
  }
}

/** What is known of the model, in lines. */
export function describeModel(model: Architecture): string[] {
  const n = parameterCount(model);
  return [
    `${model.name}: ${formatCount(n)} parameters in ${formatCount(model.layers.length)} layers`,
    `one ${model.example}: ${formatPower(forwardFlops(model))} FLOP forward, ${formatCount(model.activations)} activations`,
  ];
}

export const describeHardware = ({ name, note }: Hardware): string => `${name}. ${note}`;

/** Examples that the method's curvature needs at least; 0 where it has none, undefined where it wants all of them. */
function leastBatch(model: Architecture, method: OptimizerName): number | undefined {
  const { family, asks } = optimizers[method];
  if (asks.batch === "full") return undefined;
  if (family === "first order" || family === "layerwise") return 0;
  return Math.ceil(minimumBatch(method, { model, parameters: parameterCount(model), fullBatch: false }));
}

const describeLeast = (least: number | undefined): string =>
  least === undefined ? "all" : least === 0 ? symbol.dash : formatCount(least);

function show(model: Architecture, setting: Setting, rows: readonly MethodCosts[]): void {
  const { batch, workers, sharded, precision, hardware } = setting;
  for (const line of [...describeModel(model), ...model.notes]) say(line);
  print(plain(describeHardware(hardware)));
  print("");
  print(
    pc.bold(
      plain(
        `A step of ${formatCount(batch)} examples${workers > 1 ? ` on each of ${formatCount(workers)} devices${sharded ? ", among which the model is divided" : ""}` : ""}, ${precision === "f32" ? "f32" : "mixed precision"}`,
      ),
    ),
  );
  print("");
  const right = (title: string) => ({ title, align: "right" as const });
  print(
    formatTable(
      [
        { title: "optimizer" },
        right("state"),
        right("all memory"),
        right("least batch"),
        right("largest batch"),
        right("time"),
        right("of the gradient"),
        right("curvature"),
        right("inversion"),
        right("update"),
        ...(workers > 1 ? [right("sent"), right("share of time")] : []),
        right("passes"),
      ],
      rows.map((row) => {
        const { memory, seconds, communication } = row;
        const share = (part: number) => (part === 0 ? symbol.dash : formatSeconds(part));
        return [
          `${row.method}${row.infeasible.length > 0 ? " (!)" : ""}`,
          describeBytes([...memory.state, ...memory.workspace].reduce((sum, { bytes }) => sum + bytes, 0)),
          describeBytes(memory.total),
          describeLeast(leastBatch(model, row.method)),
          row.largestBatch > 0 ? formatCount(row.largestBatch) : "none",
          formatSeconds(seconds.total),
          `${formatSignificant(row.overGradient, 3)}×`,
          share(seconds.curvature + seconds.questions),
          share(seconds.inversion),
          share(seconds.update),
          ...(workers > 1
            ? [
                describeBytes(communication.gradients + communication.curvature),
                `${formatSignificant(100 * communication.share, 2)} %`,
              ]
            : []),
          formatSignificant(row.sequentialPasses, 3),
        ].map(plain);
      }),
    ),
  );
  print("");
  for (const { method, infeasible } of rows)
    for (const reason of infeasible) print(plain(`(!) ${method}: ${reason}`));
  const warnings = new Map<string, string[]>();
  for (const { method, warnings: own } of rows)
    for (const text of own) warnings.set(text, [...(warnings.get(text) ?? []), method]);
  for (const [text, methods] of warnings) print(plain(`${methods.join(", ")}: ${text}`));
}
