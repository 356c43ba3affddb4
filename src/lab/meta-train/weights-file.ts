/** φ as a safetensors file: its parts under their names, and in the metadata what made them. */
import { phiLayout } from "../../optimizers/learned/network.js";
import { UserError } from "../errors.js";
import { decodeTensors, encodeTensors } from "../tensors.js";

/** What made a file of weights. */
export interface Provenance {
  /** The command that makes them again. */
  readonly command: string;
  readonly seed: number;
  /** The update of φ after which they were validated best, and ℓ there. */
  readonly step: number;
  readonly validation: number;
  /** Of this package. */
  readonly version: string;
  /** Node, processor and BLAS: the last bits depend on them. */
  readonly machine: string;
}

const format = "thalweg-learned-optimizer";

export const encodeWeights = (phi: ArrayLike<number>, provenance: Provenance): Uint8Array =>
  encodeTensors(
    phiLayout.entries.map(({ name, shape, offset, size }) => ({
      name,
      dtype: "f32",
      shape,
      data: Float32Array.from({ length: size }, (_, i) => phi[offset + i]!),
    })),
    {
      format,
      ...Object.fromEntries(Object.entries(provenance).map(([key, value]) => [key, String(value)])),
    },
  );

/** @throws UserError when the file is none of these, is damaged, or a part is missing or of another shape. */
export function decodeWeights(
  file: Uint8Array,
  path: string,
): { readonly phi: Float32Array; readonly provenance: Provenance } {
  const { metadata, arrays } = decodeTensors(file, path);
  if (metadata.format !== format)
    throw new UserError(
      `"${path}" holds no weights of a learned optimizer; name a learned.safetensors that meta-train wrote`,
    );
  const phi = new Float32Array(phiLayout.size);
  for (const { name, shape, offset } of phiLayout.entries) {
    const found = arrays.find((array) => array.name === name);
    if (found?.dtype !== "f32" || found.shape.join() !== shape.join())
      throw new UserError(
        `"${path}": "${name}" should be f32[${shape.join(", ")}] and is ${found ? `${found.dtype}[${found.shape.join(", ")}]` : "missing"}; it is of another version of the network`,
      );
    phi.set(found.data, offset);
  }
  const { command = "", version = "", machine = "" } = metadata;
  const [seed, step, validation] = [metadata.seed, metadata.step, metadata.validation].map(Number);
  return {
    phi,
    provenance: { command, version, machine, seed: seed!, step: step!, validation: validation! },
  };
}
