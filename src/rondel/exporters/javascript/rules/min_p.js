import { largestOf } from "../probability.js";

export const rule = {
  order: 50,
  apply(logits, history, { min_p }) {
    if (min_p === 0) return logits;
    const least = largestOf(logits) + Math.log(min_p);
    return logits.map(logit => logit >= least ? logit : -Infinity);
  },
};
