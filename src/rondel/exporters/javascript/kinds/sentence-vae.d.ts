import type { Settings } from "../writing.js";

/** A model that turns sentences into points of a space, and points into sentences. */
export interface Model {
  /** Sentences at points drawn from the prior. */
  sampleSentences(count: number, settings?: Settings): string[];
  /** Mean and log-variance of the normal distribution that a sentence is encoded as. */
  encode(sentence: string): { mean: Float32Array; logVariance: Float32Array };
  /** The sentence at a point. */
  decode(point: ArrayLike<number>, settings?: Settings): string;
  /** What a sentence's mean is written as, and then points drawn around it. */
  reconstruct(sentence: string, count?: number, settings?: Settings): string[];
  /** Sentences at even steps between two, or without them between two random points. */
  interpolate(
    from?: string | null,
    to?: string | null,
    settings?: Settings & { steps?: number },
  ): { fraction: number; sentence: string; repeats: boolean }[];
}
