import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { vi } from "vitest";
import { runCommand } from "../../src/cli/program.js";

/** The built command: `npm test` builds before it tests. */
const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
if (!existsSync(main)) throw new Error(`${main} is missing; run: npm run build`);

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const variables = { NO_COLOR: "1", THALWEG_THREADS: "1", COLUMNS: "" };

/** Runs the built command to its end, in a process of its own. */
export function thalweg(folder: string, args: readonly string[], changes: NodeJS.ProcessEnv = {}): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd: folder,
    env: { ...process.env, ...variables, ...changes },
    encoding: "utf8",
    timeout: 240_000,
  });
  return { code: status, stdout, stderr };
}

/** Where text goes meanwhile; gives it when it is asked for. */
function capture(stream: NodeJS.WriteStream) {
  const write = stream.write;
  let text = "";
  stream.write = (chunk: string | Uint8Array) => {
    text += String(chunk);
    return true;
  };
  return () => {
    stream.write = write;
    return stripVTControlCharacters(text);
  };
}

/** Does the same within this process and from source: without the third of a second that a process needs to begin. */
export async function thalwegHere(
  folder: string,
  args: readonly string[],
  changes: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const [before, exitCode] = [process.cwd(), process.exitCode];
  process.chdir(folder);
  for (const [name, value] of Object.entries({ ...variables, ...changes })) vi.stubEnv(name, value);
  process.exitCode = undefined;
  const [stdout, stderr] = [capture(process.stdout), capture(process.stderr)];
  try {
    await runCommand(args);
    return { code: Number(process.exitCode ?? 0), stdout: stdout(), stderr: stderr() };
  } finally {
    stdout();
    stderr();
    process.exitCode = exitCode;
    vi.unstubAllEnvs();
    process.chdir(before);
  }
}

/** Starts the command; resolves when it has ended. */
export function startThalweg(folder: string, args: readonly string[]) {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    env: { ...process.env, ...variables },
  });
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
