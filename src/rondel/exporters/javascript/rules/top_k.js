import { likeliest, only } from "../probability.js";

export const rule = {
  order: 30,
  apply: (logits, history, { top_k }) =>
    top_k === 0 || top_k >= logits.length ? logits : only(logits, likeliest(logits, top_k)),
};
