import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Measurement } from "../../src/lab/run-record.js";
import { encodeEvents, writeEvents } from "../../src/lab/tensorboard.js";
import { temporaryFolder } from "./folder.js";

const measurements: Measurement[] = [
  { step: 0, seconds: 0, evaluations: {}, test: { loss: 2.5, accuracy: 0.125 } },
  {
    step: 300,
    seconds: 1.5,
    loss: 0.75,
    learningRate: 0.5,
    evaluations: {},
    test: { loss: Number.NaN, accuracy: 0.5 },
    diagnostics: { damping: 0.25, accepted: true },
  },
];
const run = { created: "2026-11-26T12:00:00.000Z", measurements };
const began = Date.parse(run.created) / 1000;

/** CRC-32C bit by bit, from its definition: division of polynomials over GF(2). */
function crc(bytes: Uint8Array): number {
  let remainder = 0xffffffffn;
  for (const byte of bytes) {
    remainder ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >> 1n) ^ (remainder & 1n ? 0x82f63b78n : 0n);
  }
  return Number(remainder ^ 0xffffffffn);
}
const unmask = (value: number) => {
  const rotated = (BigInt(value) - 0xa282ead8n) & 0xffffffffn;
  return Number(((rotated >> 17n) | (rotated << 15n)) & 0xffffffffn);
};

/** Records, their checksums verified. */
function records(file: Buffer): Buffer[] {
  const list: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    expect(unmask(file.readUInt32LE(at + 8))).toBe(crc(file.subarray(at, at + 8)));
    const event = file.subarray(at + 12, at + 12 + length);
    expect(unmask(file.readUInt32LE(at + 12 + length))).toBe(crc(event));
    list.push(event);
    at += 16 + length;
  }
  return list;
}

type Field = readonly [number: number, value: number | Buffer];
/** The fields of a message, by the encoding's own rules. */
function fields(bytes: Buffer): Field[] {
  const list: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = tag >> 3;
    if ((tag & 7) === 0) list.push([number, varint()]);
    else {
      const length = { 1: 8, 5: 4 }[tag & 7] ?? varint();
      const content = bytes.subarray(at, at + length);
      if ((tag & 7) === 1) list.push([number, content.readDoubleLE()]);
      else list.push([number, (tag & 7) === 5 ? content.readFloatLE() : content]);
      at += length;
    }
  }
  return list;
}
const fieldOf = (list: readonly Field[], number: number) => list.find(([field]) => field === number)?.[1];
const scalars = (event: Buffer) =>
  Object.fromEntries(
    fields(fieldOf(fields(event), 5) as Buffer).map(([, value]) => {
      const own = fields(value as Buffer);
      return [String(fieldOf(own, 1)), fieldOf(own, 2)];
    }),
  );

describe("events for TensorBoard", () => {
  const file = Buffer.from(encodeEvents(run));
  it("begin as the files of TensorFlow do", () => {
    // The check value of CRC-32C (RFC 3720, B.4, has others).
    expect(crc(Buffer.from("123456789"))).toBe(0xe3069283);
    // Length 24 and its masked checksum, then the version.
    expect(file.subarray(0, 12).toString("hex")).toBe("1800000000000000a37f4b22");
    expect(file.subarray(12, 36).toString("latin1")).toContain("brain.Event:2");
  });
  it("hold every number of every measurement, at its step and second of training", () => {
    const [version, ...events] = records(file);
    expect(fieldOf(fields(version!), 1)).toBe(began);
    expect(events.map((event) => [fieldOf(fields(event), 2), fieldOf(fields(event), 1)])).toEqual([
      [0, began],
      [300, began + 1.5],
    ]);
    expect(events.map(scalars)).toEqual([
      { "test/loss": 2.5, "test/accuracy": 0.125 },
      {
        "training/loss": 0.75,
        "training/learningRate": 0.5,
        "test/accuracy": 0.5,
        "step/damping": 0.25,
      },
    ]);
  });
  it("are one file a run, replaced when it is written again", () => {
    const folder = join(temporaryFolder(), "events");
    writeEvents(folder, { ...run, measurements: [] });
    const path = writeEvents(folder, run);
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^events\.out\.tfevents\.1795694400\./)]);
    expect(readFileSync(path).equals(file)).toBe(true);
  });
});
