import { argmax, largestOf } from "../probability.js";

export const rule = {
  order: 20,
  apply(logits, history, { temperature }) {
    if (temperature === 0) {
      const best = argmax(logits);
      return logits.map((logit, token) => token === best ? logit : -Infinity);
    }
    const top = largestOf(logits), scaled = new Float64Array(logits.length);
    for (let token = 0; token < logits.length; token++) scaled[token] = (logits[token] - top) / temperature;
    return scaled;
  },
};
