// Filling gaps: what best stands between what is before a gap and what is after it, as
// rondel/generation/search/filling.py finds it. For each length a beam search with the causal half
// proposes fillings, sweeps in which every token is drawn given all the others mend them, and all are
// ranked by the probability that the causal half gives to the filling and the text after it.
//
// `sides` has two stacks, `causal` and `reverse`; a state is all of one's numbers, an output a last
// layer's.

import { decode, putTogether, splitAtGaps } from "./gaps.js";
import { argmax, draw, likeliest, logSoftmax } from "./probability.js";
import { generatorOf } from "./random.js";
import { isWhite } from "./white.js";

const LOOK_AHEAD = 64, KEPT_BETWEEN_GAPS = 4, LONGEST = 12, MOST_WORDS = 3;

export function fill(sides, tokenizer, text, given = {}) {
  const longest = tokenizer.impliesSpace ? MOST_WORDS : LONGEST;
  const settings = { gap: "___", length: null, max_length: longest, best: 5, width: 16, sweeps: 4, seed: 1, ...given };
  const [first, ...others] = splitAtGaps(tokenizer, text, settings.gap), parts = [first, ...others];
  const fillers = new Fillers(sides, tokenizer, settings);
  let partly = [{ tokens: first.ids, gaps: [], state: advance(sides.causal, first.ids, sides.causal.zero), score: 0 }];
  for (const part of others) {
    const grown = partly.flatMap(parent => fillers.fill(parent, part.ids));
    partly = grown.sort((a, b) => b.score - a.score).slice(0, Math.max(settings.best, KEPT_BETWEEN_GAPS));
  }
  const filled = partly.map(one => finished(sides, tokenizer, one, parts));
  if (settings.length === 1 && others.length === 1) filled.sort((a, b) => b.pseudo_log_likelihood - a.pseudo_log_likelihood);
  return filled.slice(0, settings.best);
}

class Fillers {
  constructor(sides, tokenizer, settings) {
    this.sides = sides;
    this.settings = settings;
    this.barred = Array.from({ length: sides.vocab }, (_, id) =>
      id === tokenizer.unknownId || tokenizer.impliesSpace && isWhite(tokenizer.token(id)));
    this.generator = generatorOf(settings.seed, 0);
  }

  // The best fillings of a gap that stands before tokens which follow it in the text.
  fill(parent, part) {
    const { length, max_length, width } = this.settings, { causal, reverse } = this.sides;
    const after = advance(reverse, part.slice().reverse(), reverse.zero);
    const found = [];
    for (let size = length ?? 1; size <= (length ?? max_length); size++) {
      for (const filling of this.#candidates(parent.state, after, size)) {
        found.push({ filling, score: this.#score(parent.state, filling, part) });
      }
    }
    found.sort((a, b) => b.score - a.score);
    return found.slice(0, width).map(({ filling, score }) => ({
      tokens: [...parent.tokens, ...filling, ...part],
      gaps: [...parent.gaps, [parent.tokens.length, parent.tokens.length + filling.length]],
      state: advance(causal, [...filling, ...part], parent.state),
      score: parent.score + score,
    }));
  }

  // Different fillings of one length, in order of their tokens.
  #candidates(before, after, size) {
    const { sides, settings: { width, sweeps } } = this;
    if (size === 1) {
      const logits = this.#known(sides.logits(sides.causal.outputOf(before), sides.reverse.outputOf(after)));
      return likeliest(logits, width).map(id => [id]);
    }
    const fillings = this.#beams(before, after, size), seen = fillings.map(filling => filling.slice());
    for (let number = 0; number < sweeps; number++) {
      this.#sweep(fillings, before, after, number === sweeps - 1);
      seen.push(...fillings.map(filling => filling.slice()));
    }
    const different = new Map(seen.map(filling => [filling.join(), filling]));
    return [...different.values()].sort((a, b) => a[a.findIndex((id, n) => id !== b[n])] - b[a.findIndex((id, n) => id !== b[n])]);
  }

  // The likeliest fillings by the causal half, their last token given both sides.
  #beams(before, after, size) {
    const { sides, settings: { width } } = this, { causal } = sides, ahead = sides.reverse.outputOf(after);
    let beams = [{ tokens: [], score: 0, state: before }];
    for (let place = 0; place < size; place++) {
      const last = place === size - 1;
      const totals = beams.flatMap(({ score, state }) => {
        const output = causal.outputOf(state);
        const logits = last ? sides.logits(output, ahead) : sides.causalLogits(output);
        return [...logSoftmax(this.#known(logits))].map(logprob => score + logprob);
      });
      beams = likeliest(totals, width).map(best => {
        const { tokens, state } = beams[Math.floor(best / sides.vocab)], token = best % sides.vocab;
        return { tokens: [...tokens, token], score: totals[best], state: last ? null : advance(causal, [token], state) };
      });
    }
    return beams.map(({ tokens }) => tokens);
  }

  // Choose every token anew, place by place, given those around it.
  #sweep(fillings, before, after, best) {
    const { sides } = this, states = fillings.map(() => before);
    const ahead = fillings.map(filling => outputsAfter(sides.reverse, filling, after));
    for (let place = 0; place < fillings[0].length; place++) {
      fillings.forEach((filling, n) => {
        const logits = this.#known(sides.logits(sides.causal.outputOf(states[n]), ahead[n][place]));
        filling[place] = best ? argmax(logits) : draw(logits, this.generator.uniform());
        states[n] = advance(sides.causal, [filling[place]], states[n]);
      });
    }
  }

  // ln p of a filling and of the text after it, by the causal half.
  #score(before, filling, part) {
    const { causal } = this.sides;
    causal.state = before;
    let total = 0;
    for (const id of [...filling, ...part.slice(0, LOOK_AHEAD)]) {
      total += logSoftmax(new Float64Array(this.sides.causalLogits(causal.output.view)))[id];
      causal.read(id);
    }
    return total;
  }

  // Logits in which what fills no gap cannot come.
  #known(logits) {
    return Float64Array.from(logits, (logit, id) => this.barred[id] ? -Infinity : logit);
  }
}

function advance(stack, ids, state) {
  stack.state = state;
  for (const id of ids) stack.read(id);
  return stack.state;
}

// A stack's outputs before each token, for one that reads them from the last.
function outputsAfter(reverse, ids, state) {
  reverse.state = state;
  const outputs = [];
  for (const id of ids.slice().reverse()) {
    outputs.unshift(reverse.output.view.slice());
    reverse.read(id);
  }
  return outputs;
}

function finished(sides, tokenizer, { tokens, gaps, score }, parts) {
  const after = outputsAfter(sides.reverse, tokens, sides.reverse.zero);
  sides.causal.state = sides.causal.zero;
  let pseudo = 0;
  tokens.forEach((id, n) => {
    if (gaps.some(([begin, end]) => n >= begin && n < end)) {
      pseudo += logSoftmax(new Float64Array(sides.logits(sides.causal.output.view, after[n])))[id];
    }
    sides.causal.read(id);
  });
  const fillings = gaps.map(([begin, end]) => tokens.slice(begin, end));
  return {
    text: putTogether(tokenizer, parts, fillings),
    fillings: fillings.map(filling => decode(tokenizer, filling)),
    log_probability: score,
    pseudo_log_likelihood: pseudo,
  };
}
