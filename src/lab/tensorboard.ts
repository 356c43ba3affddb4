/**
 * Runs as TensorBoard shows them: files of events. A file is a sequence of TFRecords,
 *
 *     length: u64 | masked CRC of it: u32 | event | masked CRC of the event: u32        little endian
 *
 * and an event is a protocol-buffer message (tensorflow/core/util/event.proto, framework/summary.proto):
 *
 *     Event    1: wall_time double | 2: step int64 | 3: file_version string | 5: summary Summary
 *     Summary  1: repeated Value        Value  1: tag string | 2: simple_value float
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { makeFolder, replaceFile } from "./files.js";
import type { Measurement, RunRecord } from "./run-record.js";

/** CRC-32C (Castagnoli), reflected polynomial 0x82f63b78. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
const crc32c = (bytes: Uint8Array): number =>
  ~bytes.reduce((crc, byte) => crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8), 0xffffffff) >>> 0;
/** Rotated and shifted, so that a checksum of data that holds checksums is none of theirs. */
const masked = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

const concat = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);

/** An unsigned whole number in groups of seven bits, lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}
const key = (field: number, wire: 0 | 1 | 2 | 5) => varint((field << 3) | wire);
const int64 = (field: number, value: number) => concat(key(field, 0), varint(value));
const message = (field: number, body: Uint8Array) => concat(key(field, 2), varint(body.length), body);
const string = (field: number, text: string) => message(field, Buffer.from(text));
const double = (field: number, value: number) =>
  concat(key(field, 1), new Uint8Array(Float64Array.of(value).buffer));
const float = (field: number, value: number) =>
  concat(key(field, 5), new Uint8Array(Float32Array.of(value).buffer));

function record(event: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(event.length));
  const checksum = (bytes: Uint8Array) => {
    const four = Buffer.alloc(4);
    four.writeUInt32LE(masked(bytes));
    return four;
  };
  return concat(length, checksum(length), event, checksum(event));
}

/** What a measurement tells as scalars: losses, metrics, the rate, numbers of the step. What is no number is left out. */
function scalarsOf({ loss, learningRate, gradientNorm, test, diagnostics }: Measurement): [string, number][] {
  const numbers: [string, unknown][] = [
    ["training/loss", loss],
    ["training/learningRate", learningRate],
    ["training/gradientNorm", gradientNorm],
    ...Object.entries(test).map(([name, value]): [string, unknown] => [`test/${name}`, value]),
    ...Object.entries(diagnostics ?? {}).map(([name, value]): [string, unknown] => [`step/${name}`, value]),
  ];
  return numbers.filter((entry): entry is [string, number] => Number.isFinite(entry[1]));
}

/**
 * The events of a run. Their wall time is when the run began plus the seconds of training: "relative" in TensorBoard is
 * so what races compare.
 */
export function encodeEvents({
  created,
  measurements,
}: Pick<RunRecord, "created" | "measurements">): Uint8Array {
  const began = Date.parse(created) / 1000;
  const events = measurements.map((measurement) => {
    const values = scalarsOf(measurement).map(([tag, value]) =>
      message(1, concat(string(1, tag), float(2, value))),
    );
    return concat(
      double(1, began + measurement.seconds),
      int64(2, measurement.step),
      message(5, concat(...values)),
    );
  });
  return concat(...[concat(double(1, began), string(3, "brain.Event:2")), ...events].map(record));
}

/**
 * Writes a run's events into a folder of its own, and gives the file. An earlier one of the same run is replaced.
 *
 *     tensorboard --logdir runs/cnn/tensorboard
 *
 * @throws UserError when it cannot be written.
 */
export function writeEvents(folder: string, run: Pick<RunRecord, "created" | "measurements">): string {
  makeFolder(folder);
  const began = Math.floor(Date.parse(run.created) / 1000);
  const path = join(folder, `events.out.tfevents.${began}.${hostname()}`);
  replaceFile(path, encodeEvents(run));
  return path;
}
