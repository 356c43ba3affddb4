/**
 * The same steps here and in PyTorch at its best, in turn, each in a process of its own; ratios of medians.
 *
 *   bench/setup-peers.sh                 once: PyTorch and its fastest BLAS, from Debian's packages
 *   npm run bench:compare -- [--workloads mlp-small,rnn] [--operations gradient,kfac] [--threads 1,2] [--rounds 3]
 *     [--clock cpu] [--json]
 */
import { spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "./operations.js";
import { workloads } from "./workloads.js";

/** An operation on both sides: ours (operations.ts), the peer's. */
const operations: Readonly<Record<string, readonly [string, string]>> = {
  gradient: ["gradient", "op-grad"],
  adam: ["adam", "adam"],
  "hessian-vector": ["hessian-vector", "op-hvp"],
  "gauss-newton": ["gauss-newton-linearized", "op-ggnvp-retained"],
  kfac: ["kfac:factorInterval=1,inverseInterval=10,estimator=empirical", "kfac"],
  shampoo: ["shampoo:interval=10,blockSize=1024", "shampoo"],
  soap: ["soap:interval=10", "soap"],
};

const { values } = parseArgs({
  options: {
    workloads: { type: "string", default: Object.keys(workloads).join() },
    operations: { type: "string", default: Object.keys(operations).join() },
    threads: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "1.5" },
    clock: { type: "string", default: "wall" },
    json: { type: "boolean", default: false },
  },
});
const here = import.meta.dirname;
/** The ratio to be reached. */
function targetOf(workload: string, operation: string): number | undefined {
  const small = ["mlp-small", "rnn", "pinn-poisson"].includes(workload);
  const products = small ? 0.25 : workload === "autoencoder" ? 0.7 : 0.6;
  switch (operation) {
    case "gradient":
    case "adam":
      return small ? 0.25 : 0.9;
    case "hessian-vector":
    case "gauss-newton":
      return products;
    case "kfac":
      return small || workload === "autoencoder" ? 0.7 : 0.6;
    case "soap":
      return workload === "cnn-small" || workload === "transformer-tiny" ? 0.6 : undefined;
    default:
      return undefined;
  }
}

function lineOf(command: string, args: readonly string[]): Record<string, unknown> {
  const { stdout, stderr, status } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 24 });
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (status !== 0 || !line.startsWith("{"))
    throw new Error(`${command} ${args.join(" ")}: ${stderr.trim().split("\n").at(-1)}`);
  return JSON.parse(line) as Record<string, unknown>;
}
/** Milliseconds of a step; with `--library`, those that it spends within the BLAS. */
function ours(workload: string, operation: string, threads: number, ...flags: "--library"[]): number {
  const line = lineOf(process.execPath, [
    "--import",
    "tsx",
    join(here, "side.ts"),
    workload,
    operations[operation]![0],
    "--threads",
    String(threads),
    "--seconds",
    values.seconds,
    "--clock",
    values.clock,
    ...flags,
  ]);
  return (flags.length > 0 ? line.library : line.milliseconds) as number;
}
/** PyTorch's fastest implementation of the step: the peer tries layouts and fused or single-tensor updates. */
function torch(workload: string, operation: string, threads: number): number | undefined {
  const line = lineOf("/usr/bin/python3", [
    join(here, "peers/torch_peer.py"),
    workload,
    operations[operation]![1],
    "--threads",
    String(threads),
    "--steps",
    "100000",
    "--cell-seconds",
    values.seconds,
    "--clock",
    values.clock,
  ]);
  if (typeof line.skipped === "string") {
    process.stderr.write(`PyTorch cannot run ${workload} ${operation}: ${line.skipped}\n`);
    return undefined;
  }
  return line.ms_per_step_median as number;
}
interface Row {
  workload: string;
  operation: string;
  threads: number;
  ours: number;
  torch: number;
  ratio: number;
  low: number;
  high: number;
  /** What the BLAS alone takes on our side over all that PyTorch takes: no code around it can go below. One thread. */
  floor: number | undefined;
  target: number | undefined;
}
const rows: Row[] = [];
/** A row as soon as it is there: who interrupts keeps what was measured. */
function print(r: Row) {
  const verdict = r.target === undefined ? "" : r.ratio <= r.target ? "reached" : "not reached";
  const ratio = `${r.ratio.toFixed(3)} (${r.low.toFixed(2)}–${r.high.toFixed(2)})`;
  console.log(
    `| ${r.workload} | ${r.operation} | ${r.threads} | ${r.ours.toFixed(3)} | ${r.torch.toFixed(3)} | ${ratio} | ${r.floor?.toFixed(2) ?? ""} | ${r.target ?? ""} | ${verdict} |`,
  );
}
if (!values.json)
  console.log(
    `Processor: ${cpus()[0]?.model}, ${cpus().length} cores; medians of ${values.rounds} rounds, in turn\n\n` +
      "| workload | operation | threads | Thalweg ms | PyTorch ms | ratio (range) | floor | target | |\n|---|---|--:|--:|--:|--:|--:|--:|---|",
  );
for (const threads of values.threads.split(",").map(Number))
  for (const workload of values.workloads.split(","))
    for (const operation of values.operations.split(",")) {
      const pairs: { ours: number; torch: number }[] = [];
      for (let round = 0; round < Number(values.rounds); round++) {
        const theirs = torch(workload, operation, threads);
        if (theirs === undefined) break;
        pairs.push({ ours: ours(workload, operation, threads), torch: theirs });
      }
      if (pairs.length === 0) continue;
      const library = threads === 1 ? ours(workload, operation, threads, "--library") : undefined;
      const theirs = median(pairs.map((pair) => pair.torch));
      const ratios = pairs.map((pair) => pair.ours / pair.torch);
      const row = {
        workload,
        operation,
        threads,
        ours: median(pairs.map((pair) => pair.ours)),
        torch: theirs,
        ratio: median(ratios),
        low: Math.min(...ratios),
        high: Math.max(...ratios),
        floor: library && library / theirs,
        target: targetOf(workload, operation),
      };
      rows.push(row);
      if (values.json) process.stderr.write(`${workload} ${operation} ${threads}: ${row.ratio.toFixed(3)}\n`);
      else print(row);
    }
if (values.json) console.log(JSON.stringify({ processor: cpus()[0]?.model, rows }, undefined, 2));
