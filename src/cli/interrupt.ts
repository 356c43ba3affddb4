/** Ctrl-C asks for an end; a second one insists. */
import { exitCodes } from "./failure.js";

export interface Interruption {
  readonly signal: AbortSignal;
  /** The exit code that the signal asks for; undefined while there was none. */
  readonly exitCode: number | undefined;
  /** Signals do again what they do by default. */
  dispose(): void;
}

export function listenForInterruption(): Interruption {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    const code = signal === "SIGINT" ? exitCodes.interrupted : exitCodes.terminated;
    if (exitCode !== undefined) process.exit(code);
    exitCode = code;
    controller.abort();
  };
  const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, stop);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    dispose() {
      for (const signal of signals) process.removeListener(signal, stop);
    },
  };
}
