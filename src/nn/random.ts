/**
 * Seeded randomness for initial values. A generator is named, not positional: `stream("layers.1")` depends on the
 * seed and on the name only, so that a new layer leaves the initial values of the others as they were.
 * Bits come from xoroshiro128+ (Blackman & Vigna 2018) and are equal on every platform; normals pass through
 * Math.log and may differ in the last place between JavaScript engines.
 */
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { NDArray } from "../tensor/array.js";

export interface Random {
  /** Uniform on [low, high), by default [0, 1), with 53 random bits. */
  uniform(low?: number, high?: number): number;
  /** Normal with the given mean and standard deviation, by default 0 and 1 (Marsaglia's polar method). */
  normal(mean?: number, deviation?: number): number;
  /** Uniform among 0, 1, …, limit − 1. */
  integer(limit: number): number;
  /** A key, i32 [2], for random tensors (dropout, sampled targets). */
  key(): NDArray;
  /** An independent generator that depends on this one's seed and the name only, not on what was drawn. */
  stream(name: string | number): Random;
}

type Words = readonly [number, number, number, number];

/**
 * A generator for a seed.
 *
 *     const rng = random(7);
 *     rng.uniform(-1, 1);
 *     rng.stream("weights").normal();
 */
export const random = (seed: number): Random => generator(absorb([1, 2, 3, 4], `seed ${seed}`));

function generator(words: Words): Random {
  const bits = xoroshiro128plusFromState(words);
  // The lowest bits of xoroshiro128+ are its weakest: the two draws give their upper 27 and 26.
  const unit = () => ((bits.next() >>> 5) * 2 ** 26 + (bits.next() >>> 6)) * 2 ** -53;
  let spare: number | undefined;
  const standard = () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    for (;;) {
      const [u, v] = [2 * unit() - 1, 2 * unit() - 1];
      const square = u * u + v * v;
      if (square >= 1 || square === 0) continue;
      const scale = Math.sqrt((-2 * Math.log(square)) / square);
      spare = v * scale;
      return u * scale;
    }
  };
  return {
    uniform: (low = 0, high = 1) => low + (high - low) * unit(),
    normal: (mean = 0, deviation = 1) => mean + deviation * standard(),
    integer: (limit) => Math.floor(unit() * limit),
    key: () => ({ dtype: "i32", shape: [2], data: Int32Array.of(bits.next(), bits.next()) }),
    stream: (name) => generator(absorb(words, `/${name}`)),
  };
}

/** Mixes a text into 128 bits: four multiplicative hashes that feed each other, then MurmurHash3's finalizer. */
function absorb(words: Words, text: string): Words {
  let [a, b, c, d] = words;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    a = b ^ Math.imul(a ^ code, 0x239b961b);
    b = c ^ Math.imul(b ^ code, 0xab0e9789);
    c = d ^ Math.imul(c ^ code, 0x38b34ae5);
    d = a ^ Math.imul(d ^ code, 0xa1e38b93);
  }
  a = finalize(a ^ c);
  b = finalize(b ^ a);
  c = finalize(c ^ b);
  d = finalize(d ^ c);
  return [finalize(a ^ d), b, c, d | 1]; // never all zero
}

function finalize(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

/**
 * A non-negative 31-bit number for a text (FNV-1a): the stream number of a random tensor.
 *
 *     uniform(key, streamNumber("layers.2.dropout"), x.shape)
 */
export function streamNumber(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return finalize(hash) >>> 1;
}
