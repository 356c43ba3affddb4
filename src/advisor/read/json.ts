/** JSON of strangers: bounded in depth and names, and no name twice in an object, where parsers disagree. */
import { AdvisorError } from "../error.js";

const deepest = 100;
const mostNames = 500_000;

/**
 * The value of a JSON text.
 *
 * @throws AdvisorError naming the file when it is no JSON, too deep, has too many names, or one twice.
 */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new AdvisorError(`"${name}" is no JSON: it is not UTF-8`);
  }
  checkStructure(text, name);
  try {
    return JSON.parse(text);
  } catch (error) {
    const what = (error as Error).message.replaceAll(/\s+/g, " ").slice(0, 80);
    throw new AdvisorError(`"${name}" is no JSON (${what}); download it again`);
  }
}

/** An object with names and no list. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const code = { brace: 0x7b, endBrace: 0x7d, bracket: 0x5b, endBracket: 0x5d, quote: 0x22, backslash: 0x5c };

function checkStructure(text: string, name: string): void {
  /** Names so far of each open object; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let names = 0;
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (c === code.brace || c === code.bracket) {
      open.push(c === code.brace ? new Set() : undefined);
      if (open.length > deepest)
        throw new AdvisorError(`"${name}" is nested more than ${deepest} deep: it is no model`);
    } else if (c === code.endBrace || c === code.endBracket) open.pop();
    else if (c === code.quote) {
      const begin = at;
      for (at++; at < text.length && text.charCodeAt(at) !== code.quote; at++)
        if (text.charCodeAt(at) === code.backslash) at++;
      const inside = open.at(-1);
      if (!inside || !isFollowedByColon(text, at + 1)) continue;
      const key = unquoted(text.slice(begin, at + 1));
      if (inside.has(key))
        throw new AdvisorError(`"${name}" has the name "${key.slice(0, 60)}" twice; download it again`);
      inside.add(key);
      if (++names > mostNames)
        throw new AdvisorError(
          `"${name}" has more than ${mostNames.toLocaleString("en-US")} names: it is too large to be read`,
        );
    }
  }
}

function isFollowedByColon(text: string, at: number): boolean {
  while (" \t\r\n".includes(text[at] ?? "x")) at++;
  return text[at] === ":";
}

function unquoted(quoted: string): string {
  try {
    return quoted.includes("\\") ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
  } catch {
    return quoted;
  }
}
