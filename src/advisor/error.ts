/** A model, a device or a question that cannot be used; the message says what is wrong, where, and what to do. */
export class AdvisorError extends Error {
  override readonly name = "AdvisorError";
}
