import { only, softmax } from "../probability.js";

export const rule = {
  order: 40,
  apply(logits, history, { top_p }) {
    if (top_p === 1) return logits;
    const probabilities = softmax(logits), least = (1 - top_p) / logits.length;
    const ranked = [];
    probabilities.forEach((p, token) => { if (p >= least) ranked.push(token); });
    ranked.sort((a, b) => probabilities[b] - probabilities[a]);
    let count = 0;
    for (let sum = 0; count < ranked.length; count++) {
      sum += probabilities[ranked[count]];
      if (sum >= top_p) break;
    }
    return only(logits, ranked.slice(0, count + 1));
  },
};
