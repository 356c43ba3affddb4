/**
 * A model, a device or a question that cannot be used; the message says what is wrong, where, and what to do.
 *
 *     try { readModel(path); } catch (error) { if (error instanceof AdvisorError) console.error(error.message); }
 */
export class AdvisorError extends Error {
  override readonly name = "AdvisorError";
}
