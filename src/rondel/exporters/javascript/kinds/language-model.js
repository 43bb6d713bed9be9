// A model that predicts each token from those before it.

import { Refusal } from "../probability.js";
import { piecesOf } from "../spans.js";
import { embeddingOf, Head, Stack } from "../stack.js";
import { openingOf, readPrime, settingsOf, write } from "../writing.js";

export class Model {
  // `parts` are its tokenizer and the cells and rules that there are; `data` is what is known of it.
  constructor(machine, parts, data, arrays) {
    const { config } = data;
    this.data = data;
    this.rules = parts.rules;
    this.tokenizer = new parts.Tokenizer(data.tokenizer);
    const embedding = embeddingOf(machine, arrays);
    const shape = { cell: parts.cells[config.cell], layers: config.num_layers, hidden: config.hidden_size, config };
    this.stack = new Stack(machine, shape, arrays, "core.", embedding);
    this.head = new Head(machine, arrays, "head", embedding, shape.cell.bounded(config));
  }

  read(token) {
    this.stack.read(token);
  }

  logits() {
    return this.head.of(this.stack.output.place);
  }

  // Yields the text that follows a prime, piece by piece.
  *stream(prime, settings = {}) {
    const chosen = settingsOf(settings, this.rules, this.data.rules);
    this.stack.reset();
    for (const { text } of write(this, this.tokenizer, readPrime(this, this.tokenizer, prime), chosen)) yield text;
  }

  // A whole text, which begins with the prime, or else as the model's own text does.
  sample(prime, settings = {}) {
    const { prime: read, shown } = this.opening(prime, settings);
    return shown + [...this.stream(read, settings)].join("");
  }

  opening(prime, { seed = null, index = 0 } = {}) {
    return prime ? { prime, shown: prime } : openingOf(this.tokenizer, this.data.excerpts, seed, index);
  }

  // What the page asks for: text with the log-probabilities of its tokens.
  *completion({ prompt, max_tokens: length, echo, logprobs = null, model, stream, unknown, ...given }) {
    const settings = settingsOf({ ...given, length }, this.rules, this.data.rules);
    const { prime, shown } = this.opening(prompt, settings);
    const visible = prompt && !echo ? "" : shown;
    this.stack.reset();
    const start = readPrime(this, this.tokenizer, prime, visible ? logprobs : null);
    yield { text: visible, tokens: start.tokens };
    yield* write(this, this.tokenizer, start, settings, logprobs);
  }

  // The whole answer to a request of the page.
  answer(path, body) {
    return { "/v1/trace": () => this.trace(body) }[path]();
  }

  // What units, named as "2:137" or "cell:2:137", do over a text: a value after each of its tokens.
  trace({ input, units }) {
    const places = units.map(name => this.#unit(name));
    const values = Object.fromEntries(units.map(name => [name, []]));
    this.stack.reset();
    for (const id of this.tokenizer.encode(input)) {
      this.stack.read(id);
      places.forEach(({ name, track, layer, unit }) => values[name].push(this.stack.track(track, layer)[unit]));
    }
    return { tokens: piecesOf(input, this.tokenizer.spans(input)), units: values };
  }

  #unit(name) {
    const parts = name.split(":"), unit = Number(parts.pop()) - 1, layer = Number(parts.pop()) - 1;
    const track = parts.join(":") || "hidden", [layers, size] = this.data.facts.tracks[track] ?? [0, 0];
    if (!(layer >= 0 && layer < layers && unit >= 0 && unit < size && Number.isInteger(layer + unit))) {
      throw new Refusal(`there is no unit ${name}: layers and units are counted from 1`);
    }
    return { name, track, layer, unit };
  }
}
