import { argmax, largestOf } from "../probability.js";

export const rule = {
  order: 20,
  apply(logits, history, { temperature }) {
    if (temperature === 0) {
      const best = argmax(logits);
      return logits.map((logit, token) => token === best ? logit : -Infinity);
    }
    const top = largestOf(logits);
    return logits.map(logit => (logit - top) / temperature);
  },
};
