/**
 * A team of threads that run the same compiled program on shared memory, each on its share of every step, meeting at
 * barriers: one pool for matrix products and elementwise loops alike, so that neither waits for the other's pool.
 *
 * The control block in shared memory has five i32 words, each on a cache line of its own, since some threads poll one
 * while others write another: arrived at the barrier; the barrier's generation; asleep at the barrier; the number of the
 * call; the program of the call.
 */
import type { Code, FunctionRef, ModuleBuilder } from "./assembler.js";

/** Offsets in bytes. */
export const control = { arrived: 0, generation: 64, asleep: 128, call: 192, program: 256 } as const;
export const controlBytes = 320;

/** Polls before a waiting thread goes to sleep: about 100 µs, since waking up takes tens of them. */
const spins = 60_000;

/** Defines `barrier()`: returns once all `threads` threads have called it. */
export function defineBarrier(module: ModuleBuilder, base: number, threads: number): FunctionRef {
  return module.define([], [], (code: Code) => {
    const generation = code.local("i32");
    const turn = code.local("i32");
    const word = (offset: number) => code.i32(base + offset);
    word(control.generation);
    code.memory("i32.atomic.load");
    code.set(generation);
    word(control.arrived);
    code.i32(1);
    code.memory("i32.atomic.rmw.add");
    code.i32(threads - 1);
    code.emit("i32.eq");
    code.if(
      () => {
        word(control.arrived);
        code.i32(0);
        code.memory("i32.atomic.store");
        word(control.generation);
        code.i32(1);
        code.memory("i32.atomic.rmw.add");
        code.emit("drop");
        word(control.asleep);
        code.memory("i32.atomic.load");
        code.if(() => {
          word(control.generation);
          code.i32(threads);
          code.memory("memory.atomic.notify");
          code.emit("drop");
        });
      },
      () => {
        code.i32(0);
        code.set(turn);
        code.block((done) => {
          code.loop((again) => {
            word(control.generation);
            code.memory("i32.atomic.load");
            code.get(generation);
            code.emit("i32.ne");
            code.branchIf(done);
            code.get(turn);
            code.i32(1);
            code.emit("i32.add");
            code.tee(turn);
            code.i32(spins);
            code.emit("i32.lt_s");
            code.branchIf(again);
            word(control.asleep);
            code.i32(1);
            code.memory("i32.atomic.rmw.add");
            code.emit("drop");
            word(control.generation);
            code.get(generation);
            code.i64(-1n);
            code.memory("memory.atomic.wait32");
            code.emit("drop");
            word(control.asleep);
            code.i32(1);
            code.memory("i32.atomic.rmw.sub");
            code.emit("drop");
            code.i32(0);
            code.set(turn);
            code.branch(again);
          });
        });
      },
    );
  });
}

/** What a worker thread is told when it starts. */
export interface WorkerStart {
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly thread: number;
  /** Path of the native library, or undefined for the portable kernels. */
  readonly library: string | undefined;
  /** Memory for the thread's own workspaces. */
  readonly workspace: { readonly address: number; readonly bytes: number };
}
/** A program that the team will be asked to run. */
export interface WorkerProgram {
  readonly program: number;
  /** undefined: forget it. */
  readonly module: WebAssembly.Module | undefined;
}

/** The other threads of a team, from the caller's side. */
export interface Team {
  readonly threads: number;
  readonly control: number;
  /** Makes a program known; returns its number. */
  add(module: WebAssembly.Module): number;
  remove(program: number): void;
  /** Starts the other threads on the program; the caller then runs its own share. */
  start(program: number): void;
  close(): Promise<void>;
}
