/** An encoder of ONNX for tests: the wire format of protobuf, written down once more. */
const text = (value: string) => new TextEncoder().encode(value);

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

const number = (field: number, value: number): Uint8Array =>
  Uint8Array.from([...varint(field * 8), ...varint(value)]);
const bytes = (field: number, content: Uint8Array): Uint8Array =>
  join(Uint8Array.from([...varint(field * 8 + 2), ...varint(content.length)]), content);
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

export const tensor = (name: string, dims: readonly number[], raw = 0): Uint8Array =>
  bytes(
    5,
    join(
      ...dims.map((size) => number(1, size)),
      number(2, 1),
      bytes(8, text(name)),
      bytes(9, new Uint8Array(raw)),
    ),
  );

export const node = (
  op: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, number | readonly number[]>> = {},
): Uint8Array =>
  bytes(
    1,
    join(
      ...inputs.map((input) => bytes(1, text(input))),
      bytes(2, text(output)),
      bytes(4, text(op)),
      ...Object.entries(attributes).map(([name, value]) =>
        bytes(
          5,
          join(
            bytes(1, text(name)),
            typeof value === "number" ? number(3, value) : bytes(8, Uint8Array.from(value.flatMap(varint))),
          ),
        ),
      ),
    ),
  );

export const input = (name: string, dims: readonly (number | string)[]): Uint8Array => {
  const shape = join(
    ...dims.map((size) => bytes(1, typeof size === "number" ? number(1, size) : bytes(2, text(size)))),
  );
  return bytes(11, join(bytes(1, text(name)), bytes(2, bytes(1, join(number(1, 1), bytes(2, shape))))));
};

export const model = (...graph: Uint8Array[]): Uint8Array => join(number(1, 8), bytes(7, join(...graph)));
