/** Teams of Node worker threads. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { control, type Team, type WorkerProgram, type WorkerStart } from "./team.js";

export interface TeamOptions {
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly threads: number;
  readonly library: string | undefined;
  readonly workspace: (thread: number) => { address: number; bytes: number };
}

/**
 * The program of a thread. Node starts threads from JavaScript only: run from source, they are those of the last build,
 * which must be of the same source, since threads that disagree wait for each other for ever.
 */
function findScript(threads: number): URL {
  if (!import.meta.url.endsWith(".ts")) return new URL("./worker.js", import.meta.url);
  const script = new URL("../../dist/runtime/worker.js", import.meta.url);
  const built = statSync(script, { throwIfNoEntry: false })?.mtimeMs;
  const source = fileURLToPath(new URL(".", import.meta.url));
  const newest = Math.max(...readdirSync(source).map((file) => statSync(join(source, file)).mtimeMs));
  if (built === undefined || built < newest)
    throw new Error(
      `runtime: ${threads} threads need ${fileURLToPath(script)}, which is ${built === undefined ? "missing" : "older than its source"}; run "npm run build", or use one thread`,
    );
  return script;
}

export async function createTeam(options: TeamOptions): Promise<Team> {
  const words = new Int32Array(options.memory.buffer);
  const script = findScript(options.threads);
  const workers = Array.from({ length: options.threads - 1 }, (_, index) => {
    const start: WorkerStart = {
      memory: options.memory,
      control: options.control,
      thread: index + 1,
      library: options.library,
      workspace: options.workspace(index + 1),
    };
    // Not the process's own options: some (`--input-type`, loaders) only fit its main script.
    return new Worker(script, { workerData: start, execArgv: [] });
  });
  const dismiss = () => Promise.all(workers.map((worker) => worker.terminate()));
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            worker.once("message", () => resolve());
            worker.once("error", reject);
          }),
      ),
    );
  } catch (error) {
    await dismiss();
    throw new Error(
      `runtime: a worker thread did not start: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  for (const worker of workers) {
    // A process whose work is done ends, whether or not its teams were closed.
    worker.unref();
    // A lost thread would leave the others waiting at a barrier for ever.
    worker.on("error", (error: Error) => {
      process.stderr.write(`thalweg: a worker thread failed: ${error.message}\n`);
      process.exit(1);
    });
  }
  let programs = 0;
  const tell = (message: WorkerProgram) => {
    for (const worker of workers) worker.postMessage(message);
  };
  const word = (offset: number) => (options.control + offset) / 4;
  return {
    threads: options.threads,
    control: options.control,
    add(module) {
      tell({ program: programs, module });
      return programs++;
    },
    remove: (program) => tell({ program, module: undefined }),
    start(program) {
      Atomics.store(words, word(control.program), program);
      Atomics.add(words, word(control.call), 1);
      Atomics.notify(words, word(control.call));
    },
    async close() {
      await dismiss();
    },
  };
}
