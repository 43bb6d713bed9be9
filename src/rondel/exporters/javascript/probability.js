// From logits to probabilities, in double precision. A logit of -Infinity is a token of probability 0.

export class Refusal extends Error {}

const FEW = 100; // of so many likeliest tokens, each is put in its place at once
const NOT_FINITE = "the model's output is not a finite number: its weights are damaged or its training diverged";

export function largestOf(logits) {
  let largest = -Infinity;
  for (let token = 0; token < logits.length; token++) if (!(logits[token] <= largest)) largest = logits[token];
  if (!Number.isFinite(largest)) throw new Refusal(NOT_FINITE);
  return largest;
}

// The likeliest token, the lowest id among equals.
export function argmax(logits) {
  return logits.indexOf(largestOf(logits));
}

export function softmax(logits) {
  const largest = largestOf(logits), weights = logits.map(logit => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map(weight => weight / total);
}

export function logSoftmax(logits) {
  const largest = largestOf(logits);
  let total = 0;
  for (let token = 0; token < logits.length; token++) total += Math.exp(logits[token] - largest);
  const shift = largest + Math.log(total), logprobs = new Float64Array(logits.length);
  for (let token = 0; token < logits.length; token++) logprobs[token] = logits[token] - shift;
  return logprobs;
}

// The tokens of the `count` largest logits, largest first, then by id; none of -Infinity.
export function likeliest(logits, count) {
  if (count > FEW) {
    const tokens = [...logits.keys()].filter(token => logits[token] > -Infinity);
    return tokens.sort((a, b) => logits[b] - logits[a]).slice(0, count);
  }
  const best = [];
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token];
    if (logit === -Infinity || best.length === count && logit <= logits[best[count - 1]]) continue;
    let place = best.length;
    while (place > 0 && logits[best[place - 1]] < logit) place--;
    best.splice(place, 0, token);
    if (best.length > count) best.pop();
  }
  return best;
}

// The logits of some tokens; all others are left out.
export function only(logits, tokens) {
  const kept = new Float64Array(logits.length).fill(-Infinity);
  for (const token of tokens) kept[token] = logits[token];
  return kept;
}

// A token drawn by a number from 0 to 1: the first whose cumulative weight is above it.
export function draw(logits, uniform) {
  const largest = largestOf(logits), sums = new Float64Array(logits.length);
  let total = 0;
  for (let token = 0; token < logits.length; token++) sums[token] = total += Math.exp(logits[token] - largest);
  const wanted = uniform * total;
  let low = 0, high = sums.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (sums[middle] > wanted) high = middle; else low = middle + 1;
  }
  return low;
}
