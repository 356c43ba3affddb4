/** Iterates of conjugate gradients, kept to be tried later (Martens 2010, section 4.6). */
import type { Buffer } from "../runtime/memory.js";
import type { Runtime } from "../runtime/runtime.js";
import type { Iterate, Solution } from "./conjugate-gradient.js";

export interface Iterates {
  /** To be called after each iteration: keeps those whose number is ⌈1.3ʲ⌉, the last ones. */
  visit(iterate: Iterate): void;
  /**
   * Copies into `direction` the solution or, going back through what was kept while `loss` (of what is in `direction`)
   * falls, an earlier iterate; the loss there. Forgets what was kept.
   */
  choose(solution: Solution, direction: Buffer, loss: () => number): Iterate & { readonly after: number };
  release(): void;
}

const growth = 1.3;

/** Memory: `count` vectors. @example const iterates = keepIterates(runtime, solver.solution, 12); */
export function keepIterates(runtime: Runtime, solution: Buffer, count: number): Iterates {
  const n = solution.size;
  const kept = runtime.buffer(solution.dtype, [count, n]);
  let about: Iterate[] = [];
  let next = 1;
  return {
    visit(iterate) {
      if (iterate.iteration === 1) {
        about = [];
        next = 1;
      }
      if (iterate.iteration < next) return;
      kept.data.set(solution.data, (about.length % count) * n);
      about.push(iterate);
      while (Math.ceil(next) <= iterate.iteration) next *= growth;
    },
    choose(last, direction, loss) {
      const load = (k: number | undefined) => {
        const slot = (k ?? 0) % count;
        direction.data.set(k === undefined ? solution.data : kept.data.subarray(slot * n, (slot + 1) * n));
      };
      load(undefined);
      let best: Iterate & { readonly after: number } = { ...last, after: loss() };
      let bestAt: number | undefined;
      const oldest = Math.max(0, about.length - count);
      for (let k = about.length - 1; k >= oldest && count > 1; k--) {
        const iterate = about[k]!;
        if (iterate.iteration >= last.iteration) continue;
        load(k);
        const after = loss();
        if (after < best.after) [best, bestAt] = [{ ...iterate, after }, k];
        // Losses that are infinite say nothing of earlier ones.
        else if (Number.isFinite(best.after)) break;
      }
      load(bestAt);
      about = [];
      next = 1;
      return best;
    },
    release: kept.release,
  };
}
