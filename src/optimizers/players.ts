/** Objectives whose parameters belong to players with losses of their own (games), and methods that need one loss. */
import type { Objective } from "../curvature/objective.js";
import { SettingsError } from "./settings.js";

/**
 * For methods that judge a step by the loss after it. In a game the sum of the players' losses tells nothing: what one
 * wins the other loses.
 *
 *     needOneLoss("hessianFree", objective, "use adam");
 *
 * @throws SettingsError for a game.
 */
export function needOneLoss(method: string, { players }: Objective, instead: string): void {
  if (players)
    throw new SettingsError(
      `${method} compares the loss before and after a step, and here ${players.join(" and ")} have losses of their own, ` +
        `whose sum tells no progress; ${instead}`,
    );
}
