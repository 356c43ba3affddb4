import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The built command: `npm test` builds before it tests. */
const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
if (!existsSync(main)) throw new Error(`${main} is missing; run: npm run build`);

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const environment = (changes: NodeJS.ProcessEnv) => ({
  ...process.env,
  NO_COLOR: "1",
  THALWEG_THREADS: "1",
  ...changes,
});

/** Runs the command to its end. */
export function thalweg(folder: string, args: readonly string[], changes: NodeJS.ProcessEnv = {}): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    env: environment(changes),
    encoding: "utf8",
    timeout: 60_000,
  });
  return { code: status, stdout, stderr };
}

/** Starts the command; resolves when it has ended. */
export function startThalweg(folder: string, args: readonly string[]) {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, env: environment({}) });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Outcome>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}
