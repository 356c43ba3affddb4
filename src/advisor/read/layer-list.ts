/**
 * A network as it is typed: "784-1000-500-10", or an image with convolutions, "28x28x1-conv3x3:16-pool2-10".
 *
 *     784         width: a dense layer with bias, the first one the input; of an image, all of its numbers
 *     28x28x1     first only: height, width and channels of an image
 *     conv3x3:16  a convolution with bias to 16 channels; the image keeps its size
 *     pool2       each side divided by 2, rounded down
 */
import type { LayerShape } from "../../curvature/model-shape.js";
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { convLayer, countable, denseLayer } from "./layers.js";

const image = /^(\d+)x(\d+)x(\d+)$/;
const convolution = /^conv(\d+)x(\d+):(\d+)$/;
const pool = /^pool(\d+)$/;

/**
 * Whether a text looks like a list of layers.
 *
 *     isLayerList("28x28x1-conv3x3:16-pool2-10")   // true
 */
export const isLayerList = (text: string): boolean =>
  /^\d+(x\d+x\d+)?(-(\d+|conv\d+x\d+:\d+|pool\d+))+$/.test(text);

/**
 * Dense layers with biases between the widths, and convolutions where the list begins with an image.
 *
 *     readLayerList("784-1000-500-10").layers.length;   // 3
 *
 * @throws AdvisorError when it is no list of whole numbers from 1 to 10⁹, or convolves what is no image.
 */
export function readLayerList(text: string): Architecture {
  const refused = new AdvisorError(
    `"${text}" is no list of widths; write at least two whole numbers, such as 784-128-10, or an image and layers, such as 28x28x1-conv3x3:16-pool2-10`,
  );
  if (!isLayerList(text) || text.match(/\d+/g)!.some((size) => Number(size) < 1 || Number(size) > 1e9))
    throw refused;
  const [first, ...rest] = text.split("-") as [string, ...string[]];
  const numbers = (found: RegExpExecArray) => found.slice(1).map(Number) as [number, number, number];
  const start = image.exec(first);
  let sides = start ? numbers(start) : undefined;
  let width = start ? 0 : Number(first);
  const layers: LayerShape[] = [];
  for (const part of rest) {
    const name = `layers.${layers.length}`;
    const [conv, pooled] = [convolution.exec(part), pool.exec(part)];
    if ((conv || pooled) && !sides) throw refused;
    if (conv && sides) {
      const [h, w, outputs] = numbers(conv);
      const [rows, columns, inputs] = sides;
      layers.push(convLayer(name, [h, w, inputs, outputs], { positions: rows * columns }));
      sides = [rows, columns, outputs];
    } else if (pooled && sides) {
      const by = Number(pooled[1]);
      sides = [Math.floor(sides[0] / by), Math.floor(sides[1] / by), sides[2]];
      if (sides[0] === 0 || sides[1] === 0) throw refused;
    } else {
      if (sides) width = sides[0] * sides[1] * sides[2];
      sides = undefined;
      layers.push(denseLayer(name, width, Number(part)));
      width = Number(part);
    }
  }
  return countable({
    name: text,
    kind: start && layers.some(({ kind }) => kind === "conv2d") ? "convolutional" : "dense",
    example: start ? `image of ${start[1]}×${start[2]}` : "example",
    storedBytes: 4,
    layers,
    otherForwardFlops: 0,
    activations: activationsOf(layers),
    notes: [start ? "convolutions and dense layers with biases" : "dense layers with biases"],
  });
}
