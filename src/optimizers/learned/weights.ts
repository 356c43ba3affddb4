/**
 * The weights that the package ships, φ [221] as 32-bit floats in base64: those of assets/learned.safetensors, whose
 * metadata name the command that made them. Written by scripts/embed-learned.ts; not to be edited.
 *
 *     thalweg meta-train --seed 0 --steps 1000 --pairs 32 --sigma 0.02 --learning-rate 0.002 --threads 1     (best after 200 updates)
 */
const base64 = [
  "VC6cPU8pT71++LY9CYCsvZv7Eb12Xse87/t2PhQnrD2Rgaw8XyCNvHM7Qb5ks1I+cHZ4Pbxnmrwxr5k8ckLDvdCZujy5Rfa8GlRW",
  "vpwmKD6IFI08aRkkO1fR+73oj1U90w7Zuzt9ubwbH+K970MTvliFuTy7Gk28Z+21ve/g6b3JSW48yFXFu1xBgT0WhLC98Am2PFGK",
  "6LwwGOu9opxWvjcZgzx8m2Y9IXA6vZyU3T2mLFA98dAMPdIAAD7ORzW+pZq0vBrSETsaFR69ZKS9vEaevL3h9Ow7rPnBPTzxej3n",
  "to+8rkIxPDEwY745AU+6BrQvPR3RpLxbSn+9SjNlvThUPD3H84K84yNVPakpeT7m+Jo8SVoyPE+rgr5pTJ89GWK4PHJHzTzcens9",
  "6HR0PsuihT/NU4K/CxM0vfah1L1OHVM9TymZOzY5Pr6Ggle+h4j5vGAe1jp8/zg9n8qJPcfUEz05dfW882GFvnKJgD6wdUY8w41e",
  "vU0+Wz1acYK9bHIUPaxosLyjx0q+qfuFPXOigjtFaeK6uAvgvRbe8b4sEsY8KRDXvHyjMz7pC6++VliEvIjtpbybs9a92dyfvX9J",
  "dT3qYXw7ILpFPfqAcL7n4GU8vRjKPGkXc70JrUe+GnNdvKaTUrwyQ0q+a93jvcqOW7zsiF48vjGFvjSkh74SLhC9NlF4vAK5Njz1",
  "HqO8O2AOPRg/NDvfQJm+IUTfu0jbbDsYRjo9HdOrvjV8hD4zyDU85P+cvDe9fb0AR8+8zWBFvQxHZrzhFri9SLH5PNyiWLzjhN28",
  "hxV5vc9/4D1A1yK9jJmfvDE6LLze9Ho+He1EvUMyBL3DUYy9li7TvWucOzyd6Ki7AWW/PXERpD392Oa6N1IqPDI2Hb73Auw9p+iJ",
  "vFwqNTwkKZu9UlmCvlZJkbzSRi88Th4mPtpoRDuR6eO8ebFRPOi/9T5kFE095ZeauxfYgrzFurm8y8hcvBt/cj+/BU29VoBBu0TO",
  "2jyA8ZI8F9Z4P5R12zsiWyI9bpEWPLmOA73cHv89ynrVPk69Ej2Uq+c88CayPlwTgb/Op7O8tpIDPYaBNzvHfCg5ZbWEP37ePzp6",
  "C3i/7qwmPFCoeL0w3Ia+yOLkvZ7NET0B3nk8z6MmvSPeFLxH3I88u0xruZxWH7wFBrQ8u8TKvMl7s7w=",
].join("");

/** φ, a new array. */
export const shippedWeights = (): Float32Array =>
  new Float32Array(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
