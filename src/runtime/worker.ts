/** A thread of a team: waits for a call number to change, then runs its share of the program that is named. */
import { writeSync } from "node:fs";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { Blas } from "./blas.js";
import { createPortableBlas } from "./blas-portable.js";
import { control, type WorkerProgram, type WorkerStart } from "./team.js";

const start = workerData as WorkerStart;
const port = parentPort;
if (!port) throw new Error("thalweg: worker.js is a thread of a team, not a program");

let next = start.workspace.address;
const allocate = (bytes: number): number => {
  const address = next;
  next += Math.ceil(bytes / 64) * 64;
  if (next > start.workspace.address + start.workspace.bytes) throw new Error("thread workspace exhausted");
  return address;
};
const blas: Blas = start.library
  ? (await import("./blas-native.js")).createNativeBlas(start.memory, { allocate, library: start.library })!
  : createPortableBlas(start.memory, { allocate });

const programs = new Map<number, (thread: number) => void>();
const learn = () => {
  for (let received = receiveMessageOnPort(port); received; received = receiveMessageOnPort(port)) {
    const { program, module } = received.message as WorkerProgram;
    if (!module) {
      programs.delete(program);
      continue;
    }
    const instance = new WebAssembly.Instance(module, { env: { memory: start.memory, ...blas.functions } });
    programs.set(program, instance.exports.run as (thread: number) => void);
  }
};

const words = new Int32Array(start.memory.buffer);
const callWord = (start.control + control.call) / 4;
const programWord = (start.control + control.program) / 4;
let seen = Atomics.load(words, callWord);
port.postMessage("ready");
for (;;) {
  // Steps follow each other closely: poll for about 100 µs, since waking up from sleep takes tens of them.
  let call = Atomics.load(words, callWord);
  for (let turn = 0; call === seen && turn < 60_000; turn++) call = Atomics.load(words, callWord);
  if (call === seen) {
    Atomics.wait(words, callWord, seen);
    continue;
  }
  seen = call;
  const program = Atomics.load(words, programWord);
  if (!programs.has(program)) learn();
  try {
    programs.get(program)!(start.thread);
  } catch (error) {
    // The others wait at a barrier and can be told nothing; without this thread they would wait for ever.
    writeSync(
      2,
      `thalweg: a worker thread failed: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.kill(process.pid, "SIGKILL");
  }
}
