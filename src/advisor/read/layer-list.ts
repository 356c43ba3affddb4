/** A network of dense layers, as it is typed: "784-1000-500-10". */
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";

/** Whether a text looks like a list of widths. */
export const isLayerList = (text: string): boolean => /^\d+(-\d+)+$/.test(text);

/**
 * Dense layers with biases between the widths.
 *
 *     readLayerList("784-1000-500-10").layers.length;   // 3
 *
 * @throws AdvisorError when it is no list of whole numbers from 1 to 10⁹.
 */
export function readLayerList(text: string): Architecture {
  const widths = text.split("-").map(Number);
  const wrong = widths.find((width) => !Number.isInteger(width) || width < 1 || width > 1e9);
  if (!isLayerList(text) || wrong !== undefined)
    throw new AdvisorError(
      `"${text}" is no list of widths; write at least two whole numbers, such as 784-128-10`,
    );
  const layers = widths.slice(1).map((outputs, k) => {
    const name = `layers.${k}`;
    return {
      name,
      kind: "dense" as const,
      arrays: [
        { name: `${name}.weight`, shape: [widths[k]!, outputs] },
        { name: `${name}.bias`, shape: [outputs] },
      ],
      inputs: widths[k]! + 1,
      outputs,
      positions: 1,
      uses: 1,
    };
  });
  return {
    name: text,
    kind: "dense",
    example: "example",
    storedBytes: 4,
    layers,
    otherForwardFlops: 0,
    activations: activationsOf(layers),
    notes: ["dense layers with biases"],
  };
}
