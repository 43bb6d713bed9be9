// A model that predicts each token from those before it and those after it; its causal half is a
// language model.

import { fill } from "../filling.js";
import { Model as LanguageModel } from "./language-model.js";
import { columnsOf, Head, Stack } from "../stack.js";

export class Model extends LanguageModel {
  constructor(machine, parts, data, arrays) {
    super(machine, parts, data, arrays);
    const { hidden } = this.stack.shape, join = arrays["join.weight"];
    this.machine = machine;
    this.reverse = new Stack(machine, this.stack.shape, arrays, "backward.", this.stack.embedding);
    this.cloze = new Head(machine, arrays, "cloze", this.stack.embedding);
    this.before = machine.matrix({ values: columnsOf(join, 0, hidden) }, hidden, hidden);
    this.after = machine.matrix({ values: columnsOf(join, hidden, hidden) }, hidden, hidden);
    this.bias = machine.vector(arrays["join.bias"].values, hidden);
    this.joined = machine.reserve(hidden);
    this.sides = [machine.reserve(hidden), machine.reserve(hidden)];
  }

  // The best ways to fill the gaps of a text, which are marked ___, best first.
  fill(text, settings = {}) {
    return fill({
      causal: this.stack,
      reverse: this.reverse,
      vocab: this.cloze.vocab,
      logits: (before, after) => this.#bothSides(before, after),
      causalLogits: output => this.#causal(output),
    }, this.tokenizer, text, settings);
  }

  answer(path, body) {
    return path === "/v1/fill" ? { texts: this.fill(body.input, { seed: body.seed }) } : super.answer(path, body);
  }

  // Logits (V) of a token from the outputs (H) before and after it.
  #bothSides(before, after) {
    const { machine, joined } = this;
    this.sides[0].view.set(before);
    this.sides[1].view.set(after);
    joined.view.set(this.bias.view);
    machine.multiply(joined.place, this.before, this.sides[0].place);
    machine.multiply(joined.place, this.after, this.sides[1].place);
    machine.functions.hyperbolic_tangent(joined.place, joined.size);
    return this.cloze.of(joined.place);
  }

  #causal(output) {
    this.sides[0].view.set(output);
    return this.head.of(this.sides[0].place);
  }
}
