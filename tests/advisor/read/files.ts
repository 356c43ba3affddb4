/** Model files for tests: headers of safetensors with nothing behind them. */
import { mkdtempSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Arrays = Readonly<Record<string, readonly number[]>>;

export const folder = (): string => mkdtempSync(join(tmpdir(), "thalweg-read-"));

const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** Length and header of arrays of f16, and how long their file is. */
export function headerOf(arrays: Arrays): { bytes: Uint8Array; size: number } {
  let end = 0;
  const entries = Object.entries(arrays).map(([name, shape]) => {
    const begin = end;
    end += 2 * sizeOf(shape);
    return [name, { dtype: "F16", shape, data_offsets: [begin, end] }];
  });
  return { bytes: safetensors(JSON.stringify(Object.fromEntries(entries))), size: end };
}

/** A file with this header, and so many zeros behind it. */
export function safetensors(header: string, data = 0, length?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

/** Writes a sparse file: its numbers take no room on the disk. */
export function writeSafetensors(path: string, arrays: Arrays): void {
  const { bytes, size } = headerOf(arrays);
  writeFileSync(path, bytes);
  truncateSync(path, bytes.length + size);
}

export const llamaBlock = (k: number, d = 4096, inner = 11008): Arrays => {
  const name = `model.layers.${k}`;
  return {
    [`${name}.input_layernorm.weight`]: [d],
    [`${name}.self_attn.q_proj.weight`]: [d, d],
    [`${name}.self_attn.k_proj.weight`]: [d, d],
    [`${name}.self_attn.v_proj.weight`]: [d, d],
    [`${name}.self_attn.o_proj.weight`]: [d, d],
    [`${name}.post_attention_layernorm.weight`]: [d],
    [`${name}.mlp.gate_proj.weight`]: [inner, d],
    [`${name}.mlp.up_proj.weight`]: [inner, d],
    [`${name}.mlp.down_proj.weight`]: [d, inner],
    [`${name}.self_attn.rotary_emb.inv_freq`]: [64],
  };
};

export const gpt2Arrays = (depth: number, d: number, words: number, places: number): Arrays => ({
  "wte.weight": [words, d],
  "wpe.weight": [places, d],
  ...Object.assign(
    {},
    ...Array.from({ length: depth }, (_, k) => ({
      [`h.${k}.ln_1.weight`]: [d],
      [`h.${k}.ln_1.bias`]: [d],
      [`h.${k}.attn.bias`]: [1, 1, places, places],
      [`h.${k}.attn.c_attn.weight`]: [d, 3 * d],
      [`h.${k}.attn.c_attn.bias`]: [3 * d],
      [`h.${k}.attn.c_proj.weight`]: [d, d],
      [`h.${k}.attn.c_proj.bias`]: [d],
      [`h.${k}.ln_2.weight`]: [d],
      [`h.${k}.ln_2.bias`]: [d],
      [`h.${k}.mlp.c_fc.weight`]: [d, 4 * d],
      [`h.${k}.mlp.c_fc.bias`]: [4 * d],
      [`h.${k}.mlp.c_proj.weight`]: [4 * d, d],
      [`h.${k}.mlp.c_proj.bias`]: [d],
    })),
  ),
  "ln_f.weight": [d],
  "ln_f.bias": [d],
});
