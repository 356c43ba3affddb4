/**
 * Thalweg against PyTorch at its best, in turn, in one run:
 * `npx tsx bench/race.ts [--workloads a,b] [--ops grad,adam] [--threads 1,2] [--seconds S] [--rounds R] [--json]`.
 *
 * Each side is a child process (see protocol.ts). A round is one block of steps of each side, about `--seconds` long;
 * which side goes first alternates. The processor time that other processes take during a block is measured; rounds with
 * more than `--foreign` (0.15) of a core of it are disturbed: they are run again, at most twice as many rounds in all, and
 * undisturbed rounds alone are counted when there are three. `--ours "command"` races another program in Thalweg's
 * place (the peer against itself must give a ratio of one).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type BlockAnswer, type BlockRequest, median, type Ready, type Skipped } from "./protocol.js";

const { values: options } = parseArgs({
  options: {
    workloads: {
      type: "string",
      default: "mlp-small,autoencoder,pinn-poisson,cnn-small,rnn,transformer-tiny",
    },
    ops: { type: "string", default: "grad,adam" },
    threads: { type: "string", default: "1,2" },
    seconds: { type: "string", default: "0.5" },
    rounds: { type: "string", default: "9" },
    foreign: { type: "string", default: "0.15" },
    ours: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const list = (text: string) => text.split(",").filter(Boolean);
const seconds = Number(options.seconds);
const rounds = Number(options.rounds);
const foreignLimit = Number(options.foreign);
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const note = (text: string) => process.stderr.write(`${text}\n`);

const operation = (op: string) => (/^(loss|grad|hvp|ggnvp)/.test(op) ? `op-${op}` : op);
const periodOf = (op: string) => (op === "shampoo" ? 10 : 1);

/** The ratio to reach, ours over PyTorch's. */
function target(workload: string, op: string): number | undefined {
  const first = ["op-grad", "adam"].includes(op);
  const product = /^op-(hvp|ggnvp)/.test(op);
  if (["mlp-small", "rnn", "pinn-poisson"].includes(workload)) return first || product ? 0.25 : undefined;
  if (workload === "autoencoder") return first ? 0.9 : product ? 0.7 : undefined;
  if (["cnn-small", "transformer-tiny"].includes(workload)) return first ? 0.9 : product ? 0.6 : undefined;
  return undefined;
}

/** Seconds of processor time of a process and all its threads; of the whole machine without a process. Linux only. */
function processorTime(pid?: number): number {
  try {
    if (pid === undefined) {
      const [user, nice, system, , , irq, soft] = readFileSync("/proc/stat", "utf8")
        .split(/\s+/)
        .slice(1)
        .map(Number);
      return (user! + nice! + system! + irq! + soft!) / 100;
    }
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return Number.NaN;
  }
}

class Side {
  private readonly lines: AsyncIterator<string>;
  private readonly child: ChildProcess;
  ready!: Ready;

  private constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.child.on("error", (error) => note(String(error)));
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }
  static async start(command: string, args: readonly string[]): Promise<Side> {
    const side = new Side(command, args);
    side.ready = (await side.read()) as Ready;
    return side;
  }
  get pid() {
    return this.child.pid!;
  }
  private async read(): Promise<unknown> {
    const { value, done } = await this.lines.next();
    if (done) throw new Error(`a side ended: ${this.child.spawnargs.join(" ")}`);
    return JSON.parse(value);
  }
  ask(request: BlockRequest): Promise<BlockAnswer | Skipped> {
    this.child.stdin!.write(`${JSON.stringify(request)}\n`);
    return this.read() as Promise<BlockAnswer | Skipped>;
  }
  end() {
    this.child.stdin!.end();
  }
}

interface Row {
  workload: string;
  op: string;
  threads: number;
  ours?: number;
  torch?: number;
  oursMin?: number;
  torchMin?: number;
  ratio?: number;
  range?: [number, number];
  target?: number;
  reached?: boolean;
  rounds: number;
  disturbed: number;
  losses?: [number | undefined, number | undefined];
  implementation?: string;
  notes: string[];
}
interface Block {
  answer: BlockAnswer;
  /** Cores taken by processes that are not of the race. */
  foreign: number;
  /** Cores taken by the side that waits. */
  waiting: number;
}

async function block(side: Side, other: Side | undefined, request: BlockRequest): Promise<Block | Skipped> {
  const now = () => [
    performance.now() / 1e3,
    processorTime(),
    processorTime(side.pid),
    other ? processorTime(other.pid) : 0,
  ];
  const before = now();
  const answer = await side.ask(request);
  if ("skipped" in answer) return answer;
  const [time, all, own, idle] = now().map((value, index) => value - before[index]!) as [
    number,
    number,
    number,
    number,
  ];
  return { answer, foreign: Math.max(0, all - own - idle) / time, waiting: idle / time };
}

async function race(
  workload: string,
  op: string,
  threads: number,
  torch: Side,
  ours: Side | undefined,
): Promise<Row> {
  const period = periodOf(op);
  const row: Row = { workload, op, threads, rounds: 0, disturbed: 0, notes: [] };
  const goal = target(workload, op);
  if (goal !== undefined) row.target = goal;
  const plans: { side: Side; name: "ours" | "torch"; request: BlockRequest; blocks: Block[] }[] = [];
  for (const [name, side] of [
    ["ours", ours],
    ["torch", torch],
  ] as const) {
    if (!side) continue;
    // The first request builds; the second tells how many steps fill a block.
    let request: BlockRequest = { workload, optimizer: op, steps: 1, period };
    const built = await side.ask(request);
    if ("skipped" in built) {
      row.notes.push(`${name}: ${built.skipped}`);
      continue;
    }
    const probe = (await side.ask({ ...request, steps: 3 * period })) as BlockAnswer;
    const stepsFor = (ms: number) =>
      period * Math.max(1, Math.ceil(Math.min((seconds * 1e3) / ms, 20000) / period));
    const better = (await side.ask({
      ...request,
      steps: Math.min(stepsFor(probe.min), 200 * period),
    })) as BlockAnswer;
    const steps = Math.max(stepsFor(better.median), 2 * period);
    request = { ...request, steps, warm: period * Math.ceil(steps / 50 / period) };
    plans.push({ side, name, request, blocks: [] });
  }
  const clean = (index: number) => plans.every(({ blocks }) => !(blocks[index]!.foreign > foreignLimit));
  let undisturbed = 0;
  for (let round = 0; plans.length > 0 && undisturbed < rounds && round < 2 * rounds; round++) {
    for (const plan of round % 2 ? [...plans].reverse() : plans) {
      const other = plan.side === torch ? ours : torch;
      const done = await block(plan.side, other, plan.request);
      if ("skipped" in done) throw new Error(`${workload} ${op}: ${done.skipped}`);
      plan.blocks.push(done);
    }
    if (clean(round)) undisturbed++;
    row.rounds++;
  }
  row.disturbed = row.rounds - undisturbed;
  const counted = [...Array(row.rounds).keys()].filter((index) => undisturbed < 3 || clean(index));
  if (row.rounds > 0 && undisturbed < 3) row.notes.push("disturbed by other processes");
  const losses: [number | undefined, number | undefined] = [undefined, undefined];
  for (const { name, blocks } of plans) {
    const answers = counted.map((index) => blocks[index]!.answer);
    row[name] = median(answers.map((answer) => answer.median));
    row[`${name}Min`] = Math.min(...answers.map((answer) => answer.min));
    losses[name === "ours" ? 0 : 1] = answers[0]!.loss_first;
    if (name === "torch" && answers[0]!.impl) row.implementation = answers[0]!.impl;
    const waiting = median(blocks.map((one) => one.waiting));
    if (waiting > 0.03)
      row.notes.push(
        `${name === "ours" ? "PyTorch" : "Thalweg"} took ${waiting.toFixed(2)} cores while it waited`,
      );
  }
  row.losses = losses;
  if (plans.length === 2) {
    const [a, b] = plans as [(typeof plans)[0], (typeof plans)[0]];
    const each = counted.map((index) => a.blocks[index]!.answer.median / b.blocks[index]!.answer.median);
    row.ratio = row.ours! / row.torch!;
    row.range = [Math.min(...each), Math.max(...each)];
    if (goal !== undefined) row.reached = row.ratio <= goal;
    const [mine, theirs] = losses;
    // Data and initial values are of the same kind, not the same numbers: the losses agree in magnitude only.
    if (mine !== undefined && theirs !== undefined && !(mine / theirs > 0.5 && mine / theirs < 2))
      row.notes.push(`first losses differ: ${mine.toPrecision(4)} and ${theirs.toPrecision(4)}`);
    const [p, q] = [a.blocks[0]!.answer.params, b.blocks[0]!.answer.params];
    if (p !== undefined && q !== undefined && p !== q)
      row.notes.push(`numbers of parameters differ: ${p} and ${q}`);
  }
  return row;
}

const ms = (value?: number) =>
  value === undefined
    ? "–"
    : value < 10
      ? value.toFixed(3)
      : value < 100
        ? value.toFixed(1)
        : value.toFixed(0);
const header = [
  "workload",
  "op",
  "threads",
  "ours ms",
  "torch ms",
  "ratio",
  "range",
  "target",
  "reached",
  "rounds",
  "notes",
];
const cells = (row: Row) => [
  row.workload,
  row.op,
  String(row.threads),
  ms(row.ours),
  ms(row.torch),
  row.ratio?.toFixed(2) ?? "–",
  row.range?.map((value) => value.toFixed(2)).join("–") ?? "–",
  row.target === undefined ? "–" : `≤ ${row.target}`,
  row.reached === undefined ? "–" : row.reached ? "yes" : "no",
  row.disturbed ? `${row.rounds} (${row.disturbed} disturbed)` : String(row.rounds),
  [row.implementation ?? "", ...row.notes].filter(Boolean).join("; "),
];

const rows: Row[] = [];
const ownSide = path("thalweg_side.ts");
for (const threads of list(options.threads).map(Number)) {
  const torch = await Side.start(process.env.TORCH_PYTHON ?? "/usr/bin/python3", [
    path("peers/torch_peer.py"),
    "serve",
    "--threads",
    String(threads),
  ]);
  const command = options.ours?.split(" ") ?? [process.execPath, "--import", "tsx", ownSide];
  const ours =
    options.ours || existsSync(ownSide)
      ? await Side.start(command[0]!, [...command.slice(1), "--threads", String(threads)])
      : undefined;
  if (!ours) note("bench/thalweg_side.ts is absent: PyTorch alone");
  note(
    `${ours?.ready.side ?? "–"} against ${torch.ready.side}, OpenBLAS ${torch.ready.blas}, ${threads} threads, load ${loadavg()[0]!.toFixed(2)}`,
  );
  if (torch.ready.blas !== "openmp") note("PyTorch is not at its best: run bench/setup-torch.sh");
  for (const workload of list(options.workloads))
    for (const op of list(options.ops)) {
      const row = await race(workload, operation(op), threads, torch, ours);
      rows.push(row);
      note(cells(row).join("  "));
    }
  torch.end();
  ours?.end();
}
if (options.json) for (const row of rows) console.log(JSON.stringify(row));
else {
  const table = [header, header.map(() => "---"), ...rows.map(cells)];
  for (const line of table) console.log(`| ${line.join(" | ")} |`);
}
