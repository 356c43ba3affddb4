/** How the threads of a program share one step. */
import type { Code, Local } from "../runtime/assembler.js";

/** Only the first thread. */
export function onFirst(code: Code, thread: Local, body: () => void): void {
  code.get(thread);
  code.emit("i32.eqz");
  code.if(body);
}
/** Adds thread·stride to the address on the stack. */
export function addThread(code: Code, thread: Local, stride: number): void {
  code.get(thread);
  code.i32(stride);
  code.emit("i32.mul", "i32.add");
}

/** Pushes this thread's [begin, end) of `units`. */
export function pushRange(code: Code, thread: Local, units: number, threads: number, grain: number): void {
  if (threads === 1) {
    code.i32(0);
    code.i32(units);
    return;
  }
  const share = Math.ceil(units / threads / grain) * grain;
  for (const plus of [0, 1]) {
    const bound = code.local("i32");
    code.get(thread);
    code.i32(plus);
    code.emit("i32.add");
    code.i32(share);
    code.emit("i32.mul");
    code.tee(bound);
    code.i32(units);
    code.get(bound);
    code.i32(units);
    code.emit("i32.lt_s", "select");
    code.release("i32", bound);
  }
}
