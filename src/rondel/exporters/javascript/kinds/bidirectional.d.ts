import type { Model as LanguageModel } from "./language-model.js";

/** How gaps are filled; see `rondel fill`. */
export interface FillSettings {
  gap?: string;
  length?: number | null;
  max_length?: number;
  best?: number;
  width?: number;
  sweeps?: number;
  seed?: number;
}

/** A model that predicts each token from both sides; its causal half writes as a language model. */
export interface Model extends LanguageModel {
  /** The best ways to fill the gaps of a text, marked `___`, best first; figures are in nats. */
  fill(text: string, settings?: FillSettings): {
    text: string;
    fillings: string[];
    log_probability: number;
    pseudo_log_likelihood: number;
  }[];
}
