/**
 * A file or table that cannot be used: what, where, the values, and what to do.
 *
 *     try { readIdx(path); } catch (error) { if (error instanceof DataError) console.error(error.message); }
 */
export class DataError extends Error {
  override readonly name = "DataError";
}
