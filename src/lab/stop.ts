/**
 * Why a run ended. The text of each reason is the sentence that people read.
 *
 *     stopReasons[result.reason]
 */
export const stopReasons = {
  target: "The target was reached.",
  steps: "The step limit was reached.",
  seconds: "The time limit was reached.",
  converged: "The training converged: the gradient is as short as the optimizer's tolerance.",
  stalled:
    "The training came to its end: on this batch the loss can tell no further improvement, or no step that lowers it was found.",
  diverged: "The run diverged: the loss or its gradient is no longer a finite number.",
  hopeless: "The trial was ended early: half of the others were better at this point.",
  interrupted: "The run was interrupted; it can be resumed.",
} as const;

export type StopReason = keyof typeof stopReasons;

/** Whether a run that ended so has a result that stays; an interrupted one goes on when it is resumed. */
export const isFinal = (reason: StopReason): boolean => reason !== "interrupted";
