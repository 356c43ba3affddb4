/**
 * What a cost becomes seconds with. Peaks are dense ones (vendors' headlines often count 2:4 sparsity, twice as much).
 * What no source was found for says so in its `note`; a file of the same fields overrides everything.
 */
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { didYouMean } from "../optimizers/names.js";
import { AdvisorError } from "./error.js";

const rate = v.pipe(v.number(), v.finite(), v.gtValue(0));
const points = v.pipe(v.array(v.strictObject({ size: rate, rate })), v.minLength(1), v.maxLength(32));

/** What peaks do not tell, where it was measured. Points are ascending in size; between them rates are interpolated. */
const measuredSchema = v.strictObject({
  /** FLOP/s of square products by their side. */
  products: points,
  /** FLOP/s of products of which one side is short, by that side. */
  thinProducts: points,
  /** Bytes a second by the bytes that are walked over again and again: caches, then memory. */
  bandwidths: points,
  /** FLOP/s by order: Cholesky inverse (n³ counted) and eigendecomposition (9n³ counted). */
  cholesky: points,
  eigen: points,
  /** Operations a second on elements in a cache, and of exp, tanh and the like. */
  elementwise: rate,
  transcendental: rate,
  /** Seconds of a step of a program beside its work. */
  call: rate,
});

export const hardwareSchema = v.strictObject({
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(80)),
  /** FLOP/s of large matrix products, 2mnk counted; what is absent runs at f32's. */
  matmul: v.strictObject({
    f32: rate,
    tf32: v.optional(rate),
    bf16: v.optional(rate),
    f64: v.optional(rate),
  }),
  /** FLOP/s in f32 of a Cholesky inverse (n³ counted) and of an eigendecomposition (9n³ counted). */
  factorization: v.strictObject({ cholesky: rate, eigen: rate }),
  /** Bytes a second between processor and memory. */
  bandwidth: rate,
  /** Bytes. */
  memory: rate,
  /** Bytes a second that a device sends, and seconds until a collective operation begins to move. */
  interconnect: v.strictObject({ bandwidth: rate, latency: v.pipe(v.number(), v.minValue(0), v.finite()) }),
  /** Shares of the peaks that a training reaches. */
  efficiency: v.strictObject({
    matmul: v.pipe(v.number(), v.gtValue(0), v.maxValue(1)),
    memory: v.pipe(v.number(), v.gtValue(0), v.maxValue(1)),
  }),
  note: v.pipe(v.string(), v.maxLength(600)),
  measured: v.optional(measuredSchema),
});
export type Hardware = v.InferOutput<typeof hardwareSchema>;

const usual = { matmul: 0.4, memory: 0.8 };
const nvlink = (bandwidth: number) => ({ bandwidth, latency: 10e-6 });
const assumed =
  "Factorizations are assumed: Cholesky at 40 %, eigendecomposition at 5 % of the f32 peak; efficiencies are the usual ones of a training.";

/**
 * Devices by name.
 *
 *     hardware.h100!.matmul.bf16   // 989.4e12 FLOP/s
 */
export const hardware: Readonly<Record<string, Hardware>> = {
  h100: {
    name: "NVIDIA H100 SXM5",
    matmul: { f32: 66.9e12, tf32: 494.7e12, bf16: 989.4e12, f64: 66.9e12 },
    factorization: { cholesky: 26.8e12, eigen: 3.3e12 },
    bandwidth: 3.35e12,
    memory: 80e9,
    interconnect: nvlink(450e9),
    efficiency: usual,
    note: `Peaks as NVIDIA's datasheet is quoted. ${assumed}`,
  },
  a100: {
    name: "NVIDIA A100 80 GB SXM4",
    matmul: { f32: 19.5e12, tf32: 156e12, bf16: 312e12, f64: 19.5e12 },
    factorization: { cholesky: 7.8e12, eigen: 1e12 },
    bandwidth: 2.039e12,
    memory: 80e9,
    interconnect: nvlink(300e9),
    efficiency: usual,
    note: `Peaks as NVIDIA's datasheet is quoted. ${assumed}`,
  },
  rtx4090: {
    name: "NVIDIA RTX 4090",
    matmul: { f32: 82.58e12, tf32: 82.58e12, bf16: 165.15e12 },
    factorization: { cholesky: 33e12, eigen: 4.1e12 },
    bandwidth: 1.008e12,
    memory: 24e9,
    interconnect: { bandwidth: 32e9, latency: 20e-6 },
    efficiency: usual,
    note: `PCIe 4 x16 between devices. ${assumed}`,
  },
  "m4-max": {
    name: "Apple M4 Max, 40-core GPU",
    matmul: { f32: 17.2e12, bf16: 17.2e12 },
    factorization: { cholesky: 6.9e12, eigen: 0.86e12 },
    bandwidth: 546e9,
    memory: 128e9,
    interconnect: { bandwidth: 15e9, latency: 50e-6 },
    efficiency: usual,
    note: `Peak from cores and clock, up to 128 GB of unified memory, Thunderbolt 5 between machines. ${assumed}`,
  },
  "m3-max": {
    name: "Apple M3 Max, 40-core GPU",
    matmul: { f32: 14.32e12, bf16: 14.32e12 },
    factorization: { cholesky: 5.7e12, eigen: 0.72e12 },
    bandwidth: 400e9,
    memory: 128e9,
    interconnect: { bandwidth: 5e9, latency: 50e-6 },
    efficiency: usual,
    note: `Up to 128 GB of unified memory, Thunderbolt 4 between machines. ${assumed}`,
  },
  "cpu-2": {
    name: "two virtual processors in a cloud",
    matmul: { f32: 0.2e12, f64: 0.1e12 },
    factorization: { cholesky: 0.1e12, eigen: 0.03e12 },
    bandwidth: 20e9,
    memory: 8 * 2 ** 30,
    interconnect: { bandwidth: 1.25e9, latency: 100e-6 },
    efficiency: { matmul: 0.7, memory: 0.8 },
    note: "One core with AVX-512 at 3.1 GHz, its share of the memory's bandwidth, 10 Gb/s between machines: all assumed. --hardware here measures.",
  },
};

/**
 * A device by name, or from a JSON file of the same fields.
 *
 *     findHardware("h100").memory;   // 80e9
 *
 * @throws AdvisorError for an unknown name or a file that is damaged.
 */
export function findHardware(name: string): Hardware {
  if (Object.hasOwn(hardware, name)) return hardware[name]!;
  const names = Object.keys(hardware);
  if (!name.endsWith(".json"))
    throw new AdvisorError(
      `there is no hardware "${name}"${didYouMean(name, names) || `; there are ${names.join(", ")}`}; here measures this machine, and a .json file describes any other`,
    );
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(name, "utf8"));
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0]!.slice(0, 120);
    throw new AdvisorError(`cannot read the hardware in "${name}": ${reason}`, { cause: error });
  }
  const result = v.safeParse(hardwareSchema, data);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new AdvisorError(
    `"${name}" describes no hardware: ${v.getDotPath(issue) ?? "the file"} is ${String(issue.received).slice(0, 60)}, expected ${String(issue.expected ?? "a finite number")}; "thalweg costs --hardware h100 --json" shows a complete one`,
  );
}
