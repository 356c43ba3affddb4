/**
 * Where the machine's BLAS is, and opening it: the first candidate that loads and has the functions, or the one that
 * the user names. Node only. What is opened stays so, for the whole process.
 */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { betterCore, processorFeatures } from "./openblas-core.js";

export interface NativeLibrary {
  readonly path: string;
  /** Named by the user, so that failing to load it is an error rather than a reason to look further. */
  readonly chosen: boolean;
}

const linuxDirectories = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib/arm-linux-gnueabihf",
  "/usr/lib/riscv64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/lib64",
  "/usr/local/lib",
  "/opt/OpenBLAS/lib",
];
const linuxNames = [
  "libopenblas.so.0",
  "libopenblasp.so.0",
  "libopenblaso.so.0",
  "libopenblas.so.3",
  "libopenblas.so",
];
const mklDirectories = ["/opt/intel/oneapi/mkl/latest/lib/intel64", "/opt/intel/oneapi/mkl/latest/lib"];
const mklNames = ["libmkl_rt.so.2", "libmkl_rt.so.1", "libmkl_rt.so"];

/** Every name in every directory. */
const within = (directories: readonly string[], names: readonly string[]): string[] =>
  directories.flatMap((directory) => names.map((name) => join(directory, name)));

/** Places to look, best first; bare names go to the system's loader. */
function candidates(): string[] {
  const conda = process.env.CONDA_PREFIX;
  const prefix = conda === undefined || conda === "" ? [] : [conda];
  const listed = (variable: string) => (process.env[variable] ?? "").split(delimiter).filter(Boolean);
  if (process.platform === "darwin")
    return [
      "/System/Library/Frameworks/Accelerate.framework/Accelerate",
      "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
      "/usr/local/opt/openblas/lib/libopenblas.dylib",
      ...prefix.map((root) => join(root, "lib", "libopenblas.dylib")),
    ];
  if (process.platform === "win32")
    return [
      ...within(
        [...prefix.map((root) => join(root, "Library", "bin")), ...listed("PATH")],
        ["libopenblas.dll", "openblas.dll", "mkl_rt.2.dll"],
      ),
      "libopenblas.dll",
    ];
  const own = prefix.map((root) => join(root, "lib"));
  return [
    ...within([...listed("LD_LIBRARY_PATH"), ...own, ...linuxDirectories], linuxNames),
    "libopenblas.so.0",
    ...within([...listed("LD_LIBRARY_PATH"), ...own, ...mklDirectories, ...linuxDirectories], mklNames),
    "libmkl_rt.so",
  ];
}

/** Whether a candidate may be there. Accelerate lives in the system's cache, not in the file system. */
function present(path: string): boolean {
  return path.endsWith("/Accelerate") || existsSync(path);
}

function requested(options: { library?: string }): string | undefined {
  const name = options.library ?? process.env.THALWEG_BLAS;
  return name === undefined || name === "" || name === "native" ? undefined : name;
}

/**
 * The library that `createNativeBlas` uses: one that loads and has the functions, or the one that the user names, as
 * it is. It is opened (a few milliseconds) and stays so. `undefined`: there is none, or `THALWEG_BLAS` is `portable`
 * or `none`.
 */
export function findNativeLibrary(options: { library?: string } = {}): NativeLibrary | undefined {
  const wanted = requested(options);
  if (wanted === "portable" || wanted === "none") return undefined;
  if (wanted !== undefined) return { path: wanted, chosen: true };
  const found = search();
  return found && { path: found.path, chosen: false };
}

/**
 * koffi calls C on a stack of its own, 2 MiB by default; OpenBLAS's parallel LU takes 0.5 MiB a level of its recursion.
 * The size is fixed once any library is loaded, perhaps by somebody else.
 */
export const deepStack = (() => {
  const bytes = 16 * 2 ** 20;
  try {
    koffi.config({ sync_stack_size: bytes });
  } catch {
    // Too late to change it; what is there may do.
  }
  return (koffi.config().sync_stack_size ?? 0) >= bytes;
})();

const loaded = new Map<string, LibraryHandle>();

function load(path: string): LibraryHandle {
  const known = loaded.get(path);
  if (known) return known;
  const library = withSuitableKernels(path, koffi.load(path));
  loaded.set(path, library);
  return library;
}

/** Opens OpenBLAS again under OPENBLAS_CORETYPE where it chose kernels far below what the processor can do. */
function withSuitableKernels(path: string, library: LibraryHandle): LibraryHandle {
  if (process.env.OPENBLAS_CORETYPE) return library;
  const chosen = symbol(library, "openblas_get_corename", "str", []) as (() => string) | undefined;
  const better = chosen && betterCore(chosen(), processorFeatures());
  if (better === undefined) return library;
  // The library reads the variable once, when it is opened.
  library.unload();
  process.env.OPENBLAS_CORETYPE = better;
  try {
    return koffi.load(path);
  } finally {
    delete process.env.OPENBLAS_CORETYPE;
  }
}

const advice =
  "Give the path of a shared library with the CBLAS interface and 32-bit integers (OpenBLAS's libopenblas.so.0, MKL's libmkl_rt.so, Accelerate), or set THALWEG_BLAS=portable to do without one.";

export type Native = (...values: number[]) => number;
/** A library that is open and can be used. */
interface Loaded {
  readonly path: string;
  readonly library: LibraryHandle;
  /** OpenBLAS's configuration string. */
  readonly configuration: string | undefined;
}

/** A function of the library, or nothing where it has none of the name. */
export function symbol(
  library: LibraryHandle,
  name: string,
  result: string,
  parameters: string[],
): Native | undefined {
  try {
    return library.func(name, result, parameters) as Native;
  } catch {
    return undefined;
  }
}

/** Why a library cannot be used, or what it is. */
function inspect(path: string): Loaded | string {
  let library: LibraryHandle;
  try {
    library = load(path);
  } catch (error) {
    return `it cannot be loaded (${error instanceof Error ? error.message : String(error)})`;
  }
  try {
    library.symbol("cblas_sgemm");
  } catch {
    return "it has no function cblas_sgemm";
  }
  const configuration = symbol(library, "openblas_get_config", "str", []) as (() => string) | undefined;
  const text = configuration?.();
  if (text?.includes("USE64BITINT"))
    return "it is built with 64-bit integers (ILP64), and 32-bit ones are needed";
  return { path, library, configuration: text };
}

/** The library to use. @throws Error when the user names one that cannot be used. */
export function openLibrary(options: { library?: string }): Loaded | undefined {
  const wanted = requested(options);
  if (wanted === "portable" || wanted === "none") return undefined;
  if (wanted !== undefined) {
    const result = inspect(wanted);
    if (typeof result !== "string") return result;
    const origin = wanted === process.env.THALWEG_BLAS ? "THALWEG_BLAS" : "The option `library`";
    throw new Error(`${origin} names "${wanted}", which is no usable BLAS: ${result}. ${advice}`);
  }
  return search();
}

/** The first candidate that can be used. */
function search(): Loaded | undefined {
  for (const path of candidates()) {
    if (/[/\\]/.test(path) && !present(path)) continue;
    const result = inspect(path);
    if (typeof result !== "string") return result;
  }
  return undefined;
}

export function threadSetter({ library }: Loaded): ((count: number) => void) | undefined {
  for (const name of ["openblas_set_num_threads", "MKL_Set_Num_Threads"]) {
    const set = symbol(library, name, "void", ["int"]);
    if (set) return (count) => void set(Math.max(1, Math.floor(count)));
  }
  return undefined;
}

export function describe({ path, library, configuration }: Loaded): string {
  if (configuration !== undefined) {
    const version = /OpenBLAS\s+(\S+)/.exec(configuration)?.[1] ?? "";
    const core = symbol(library, "openblas_get_corename", "str", []) as (() => string) | undefined;
    const parallel = symbol(library, "openblas_get_parallel", "int", []);
    const kind = ["one thread only", "pthreads", "OpenMP"][parallel?.() ?? -1];
    return [`OpenBLAS ${version}`, core ? `${core()} kernels` : undefined, kind, path]
      .filter((part) => part !== undefined)
      .join(", ");
  }
  if (path.endsWith("/Accelerate")) return "Apple Accelerate";
  return /mkl/i.test(path) ? `Intel MKL, ${path}` : path;
}
