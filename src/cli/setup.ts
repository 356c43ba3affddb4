/** A runtime and a folder for a command; errors of the environment become the user's. */
import type { Objective } from "../curvature/objective.js";
import { UserError } from "../lab/errors.js";
import { quote } from "../lab/files.js";
import { describeMachine, type Machine } from "../lab/machine.js";
import type { EngineSettings, ProblemSettings } from "../lab/settings.js";
import { createRuntime, type Runtime } from "../runtime/runtime.js";

/** @throws UserError when the wanted backend is not to be had. */
export async function openRuntime({ backend, threads, clock }: EngineSettings): Promise<Runtime> {
  try {
    return await createRuntime({
      ...(backend ? { blas: backend } : {}),
      ...(threads ? { threads } : {}),
      ...(clock ? { clock } : {}),
    });
  } catch (error) {
    throw new UserError((error as Error).message, { cause: error });
  }
}

/** "adam:learningRate=0.01", as it is given on the command line. */
export function named(name: string, settings: Readonly<Record<string, unknown>>): string {
  const list = Object.entries(settings).map(([key, value]) => `${key}=${String(value)}`);
  return list.length === 0 ? name : `${name}:${list.join(",")}`;
}

/** A problem as it is given on the command line: its name, or the file of one's own, with its options. */
export const namedProblem = ({ name, file, options }: ProblemSettings): string =>
  named(file ?? name, options);

/** What gradients and curvature are where several players train. */
export function tellPlayers({ players }: Objective): void {
  if (players)
    process.stderr.write(
      `${players.join(" and ")} have losses of their own: their gradients stand side by side, and curvature is ` +
        "each one's by its own parameters, without what couples them.\n",
    );
}

/** Says when what goes on here was begun on another machine, or with another version: its times are of both. */
export function tellOtherMachine(folder: string, begun: Machine): void {
  const here = describeMachine();
  const text = ({ processor, node, thalweg }: Machine) => `${processor}, Node ${node}, thalweg ${thalweg}`;
  if (text(begun) !== text(here))
    process.stderr.write(
      `${quote(folder)} was begun on ${text(begun)}, and goes on on ${text(here)}: its times are of both\n`,
    );
}
