/**
 * Writes the weights of assets/learned.safetensors into the module from which the learned optimizer takes them, so that it
 * needs no file where there is none: in a browser.
 *   npx tsx scripts/embed-learned.ts
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { decodeWeights } from "../src/lab/meta-train/weights-file.js";

const root = resolve(import.meta.dirname, "..");
const source = join(root, "assets/learned.safetensors");
const { phi, provenance } = decodeWeights(readFileSync(source), source);
const base64 = Buffer.from(phi.buffer, phi.byteOffset, phi.byteLength).toString("base64");
const lines = base64.match(/.{1,100}/g)!.map((line) => `  "${line}",`);

writeFileSync(
  join(root, "src/optimizers/learned/weights.ts"),
  `/**
 * The weights that the package ships, φ [${phi.length}] as 32-bit floats in base64: those of assets/learned.safetensors, whose
 * metadata name the command that made them. Written by scripts/embed-learned.ts; not to be edited.
 *
 *     ${provenance.command}     (best after ${provenance.step} updates)
 */
const base64 = [
${lines.join("\n")}
].join("");

/** φ, a new array. */
export const shippedWeights = (): Float32Array =>
  new Float32Array(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer);
`,
);
