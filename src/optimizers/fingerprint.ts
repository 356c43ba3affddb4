/** Whether arrays are what they were, without a copy of them. */
import type { Buffer } from "../runtime/memory.js";

/**
 * 128 bits of the contents, from four interleaved hashes of 32-bit words (multiplication and rotation as in
 * MurmurHash3): arrays that differ have different ones but for one chance in 2¹²⁸ were they random.
 *
 *     const before = fingerprint([objective.parameters, ...objective.batch]);
 *     fingerprint([objective.parameters, ...objective.batch]) === before;   // nothing was written in between
 */
export function fingerprint(buffers: readonly Buffer[]): string {
  let [a, b, c, d] = [1, 2, 3, 4];
  for (const { data } of buffers) {
    const words = new Int32Array(data.buffer, data.byteOffset, data.byteLength >> 2);
    const end = words.length;
    let k = 0;
    for (; k + 3 < end; k += 4) {
      a = mix(a, words[k]!);
      b = mix(b, words[k + 1]!);
      c = mix(c, words[k + 2]!);
      d = mix(d, words[k + 3]!);
    }
    for (; k < end; k++) a = mix(a, words[k]!);
  }
  return `${a},${b},${c},${d}`;
}

function mix(hash: number, word: number): number {
  const k = Math.imul(word, 0xcc9e2d51);
  const h = hash ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}
