/** A file or table that cannot be used: what, where, the values, and what to do. */
export class DataError extends Error {
  override readonly name = "DataError";
}
