/** Texts as numbers: one for each character. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

/** Character k is the vocabulary's codes[k]-th. */
export interface Text {
  readonly name: string;
  /** The different characters in the order of their code points. */
  readonly vocabulary: readonly string[];
  readonly codes: Int32Array;
}

/**
 * Codes of a text by its own characters.
 *
 *     encodeText("greeting", "aba").codes   // [0, 1, 0]
 */
export function encodeText(name: string, text: string): Text {
  const characters = [...text];
  const vocabulary = [...new Set(characters)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const code = new Map(vocabulary.map((character, index) => [character, index]));
  return { name, vocabulary, codes: Int32Array.from(characters, (character) => code.get(character)!) };
}

/**
 * Herman Melville's "Moby Dick" (1851, in the public domain), shipped with this package: 1.2 million characters.
 *
 *     const { vocabulary, codes } = mobyDick();   // codes: i32, each the number of a character in the vocabulary
 */
export function mobyDick(): Text {
  const path = fileURLToPath(new URL("../../assets/moby-dick.txt.gz", import.meta.url));
  return encodeText("Moby Dick", gunzipSync(readFileSync(path)).toString("utf8"));
}
