/** How a text is written. Parameters of sampling rules are those of `rondel sample`. */
export interface Settings {
  /** The most tokens to write: 500, if nothing is said. */
  length?: number;
  /** Draw every token, draw it where a word begins, or always take the likeliest. */
  mode?: "sample" | "spaces" | "argmax";
  /** The same seed gives the same text, as in Python; null draws another each time. */
  seed?: number | null;
  /** Which of the texts of a seed. */
  index?: number;
  /** The text ends before any of these. */
  stop?: string | string[];
  temperature?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  repetition_penalty?: number;
  [rule: string]: unknown;
}
