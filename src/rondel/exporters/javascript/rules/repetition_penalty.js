export const rule = {
  order: 10,
  apply(logits, history, { repetition_penalty: penalty }) {
    const result = logits.slice();
    // A token that came twice is written twice, with the same value.
    for (const token of history) result[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
    return result;
  },
};
