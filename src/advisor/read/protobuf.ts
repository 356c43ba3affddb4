/**
 * Fields of protobuf messages where they lie in a file: lengths are followed and contents skipped, so that gigabytes of
 * weights are never read. Only what ONNX uses: varints, fixed numbers and length-delimited fields.
 */
import { AdvisorError } from "../error.js";
import type { ByteSource } from "./source.js";

export interface Field {
  readonly number: number;
  /** Of a varint; 0 of other fields. */
  readonly value: number;
  /** Where the content of a length-delimited field lies; empty for others. */
  readonly begin: number;
  readonly end: number;
}

export interface Message {
  fields(begin: number, end: number): Generator<Field>;
  text(field: Field): string;
  bytes(field: Field): Uint8Array;
  /** The varints of a repeated field, packed or one by one. */
  numbers(field: Field): number[];
}

const longestText = 4096;
const mostFields = 3_000_000;
const mostNumbers = 64;

/** @throws AdvisorError, while fields are visited, when one ends behind its message or there are too many. */
export function messageOf(source: ByteSource): Message {
  const damaged = (what: string) => new AdvisorError(`"${source.name}" is no ONNX file, or damaged: ${what}`);
  let start = 0;
  let window = new Uint8Array(0);
  let visited = 0;
  const byteAt = (at: number): number => {
    if (at < start || at >= start + window.length) {
      start = at;
      window = new Uint8Array(source.read(at, 1 << 16));
    }
    const byte = window[at - start];
    if (byte === undefined) throw damaged("it is cut short");
    return byte;
  };
  const varint = (at: number, end: number): [value: number, next: number] => {
    let value = 0;
    const begin = at;
    for (let k = 0; k < 10; k++) {
      if (at >= end) throw damaged("a number ends behind its message");
      const byte = byteAt(at++);
      value += (byte & 0x7f) * 2 ** (7 * k);
      if (byte < 0x80) return [k < 9 ? value : negative(begin), at];
    }
    throw damaged("a number has more than 10 bytes");
  };
  /** Ten bytes are those of a negative number, as its complement to 2⁶⁴. */
  const negative = (begin: number): number => {
    let value = 0n;
    for (let k = 0; k < 10; k++) value += BigInt(byteAt(begin + k) & 0x7f) << BigInt(7 * k);
    return Number(BigInt.asIntN(64, value));
  };
  return {
    *fields(begin, end) {
      let at = begin;
      while (at < end) {
        if (++visited > mostFields) throw damaged(`it has more than ${mostFields} fields`);
        const [tag, next] = varint(at, end);
        const [number, type] = [Math.floor(tag / 8), tag % 8];
        if (type === 0) {
          const [value, after] = varint(next, end);
          yield { number, value, begin: after, end: after };
          at = after;
        } else if (type === 2) {
          const [length, after] = varint(next, end);
          if (length < 0 || after + length > end)
            throw damaged(`a field of ${length} bytes ends behind its message`);
          yield { number, value: 0, begin: after, end: after + length };
          at = after + length;
        } else if (type === 1 || type === 5) {
          at = next + (type === 1 ? 8 : 4);
          if (at > end) throw damaged("a number ends behind its message");
          yield { number, value: 0, begin: at, end: at };
        } else throw damaged(`a field has the unknown type ${type}`);
      }
    },
    text({ begin, end }) {
      if (end - begin > longestText) throw damaged(`a name has ${end - begin} bytes`);
      return new TextDecoder().decode(source.read(begin, end - begin));
    },
    bytes: ({ begin, end }) => source.read(begin, end - begin),
    numbers({ value, begin, end }) {
      if (begin === end) return [value];
      const values: number[] = [];
      for (let at = begin; at < end && values.length < mostNumbers; ) {
        const [one, next] = varint(at, end);
        values.push(one);
        at = next;
      }
      return values;
    },
  };
}
