/**
 * A transformer or residual network from its Hugging Face config.json: the file gives widths and depths, the family
 * gives the layers. Names and shapes are those of the family's checkpoints, so parameters count as published.
 */
import { AdvisorError } from "../error.js";
import { type Architecture, activationsOf } from "../model.js";
import { gpt2, llama } from "./config/decoders.js";
import { bert, distilbert } from "./config/encoders.js";
import type { Family } from "./config/family.js";
import { resnet, vit } from "./config/vision.js";
import { countable } from "./layers.js";

const families: Readonly<Record<string, Family>> = {
  gpt2,
  llama,
  mistral: llama,
  qwen2: llama,
  qwen3: llama,
  bert,
  roberta: bert,
  "xlm-roberta": bert,
  distilbert,
  vit,
  resnet,
};

/**
 * The architecture that a Hugging Face config.json describes.
 *
 *     readConfig(JSON.parse(readFileSync("config.json", "utf8")), "config.json", 1024)
 *
 * @param tokens - length of an example's sequence; default: the longest that the model takes.
 * @throws AdvisorError for another family, or a value that is missing or out of range.
 */
export function readConfig(config: unknown, name: string, tokens?: number): Architecture {
  const { model_type: type, torch_dtype, dtype } = config as Readonly<Record<string, unknown>>;
  const supported = Object.keys(families).join(", ");
  if (typeof type !== "string")
    throw new AdvisorError(`"${name}" has no model_type; the families that can be read are ${supported}`);
  if (!Object.hasOwn(families, type))
    throw new AdvisorError(
      `"${name}" has model_type "${type.slice(0, 40)}", which cannot be read; ${supported} can. Give its .safetensors or ONNX file instead`,
    );
  const parts = families[type]!.read(config, tokens);
  return countable({
    ...parts,
    name,
    storedBytes: bytes[String(torch_dtype ?? dtype)] ?? 4,
    activations: activationsOf(parts.layers),
  });
}

/** Whether an object may be such a configuration. */
export const isConfig = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "model_type" in value;

const bytes: Readonly<Record<string, number>> = { float64: 8, float32: 4, float16: 2, bfloat16: 2 };
