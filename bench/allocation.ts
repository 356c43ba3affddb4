/**
 * A training step allocates nothing after the first: the heap and the arena over 10,000 Adam steps.
 *   npm run bench:allocation
 */
import { createOptimizer } from "../src/optimizers/index.js";
import { createRuntime } from "../src/runtime/runtime.js";
import { workloads } from "./workloads.js";

const collect = (globalThis as { gc?: () => void }).gc;
if (!collect) throw new Error("run with node --expose-gc");
const runtime = await createRuntime();
const objective = workloads["mlp-small"]!()(runtime);
const training = createOptimizer("adam", {}).start(objective);
for (let step = 0; step < 2000; step++) training.step();

const measure = () => {
  collect();
  collect();
  return { heap: process.memoryUsage().heapUsed, arena: runtime.used, reserved: runtime.reserved };
};
const before = measure();
console.log("| steps | heap, kB over the start | arena, bytes over the start |\n|--:|--:|--:|");
for (let thousand = 1; thousand <= 10; thousand++) {
  for (let step = 0; step < 1000; step++) training.step();
  const now = measure();
  console.log(
    `| ${thousand},000 | ${((now.heap - before.heap) / 1e3).toFixed(1)} | ${now.arena - before.arena + (now.reserved - before.reserved)} |`,
  );
}
const after = measure();
const flat =
  after.heap - before.heap < 100e3 && after.arena === before.arena && after.reserved === before.reserved;
console.log(flat ? "flat" : "NOT FLAT");
await runtime.close();
process.exit(flat ? 0 : 1);
