import type { Settings } from "../writing.js";

/** A model that predicts each token from those before it. It writes one text at a time. */
export interface Model {
  /** The text that follows a prime, piece by piece, as it is made. */
  stream(prime: string, settings?: Settings): Generator<string>;
  /** A whole text that begins with the prime; without one, as the model's own text does. */
  sample(prime?: string | null, settings?: Settings): string;
}
