// A model that turns sentences into points of a space, and points into sentences.
//
// Z numbers of a point, D of the encoders' summary of a sentence.

import { normal } from "../normal.js";
import { Refusal } from "../probability.js";
import { generatorOf } from "../random.js";
import { embeddingOf, Head, Stack } from "../stack.js";
import { strip } from "../white.js";
import { settingsOf, write } from "../writing.js";

const END = "\n", LONGEST = 400;
const LATENT_DRAWS = 2 ** 32; // kept apart from the numbers of the texts of a seed

export class Model {
  constructor(machine, parts, data, arrays) {
    const { config } = data;
    this.data = data;
    this.machine = machine;
    this.rules = parts.rules;
    this.tokenizer = new parts.Tokenizer(data.tokenizer);
    this.longest = config.longest_sentence || LONGEST;
    this.latentSize = config.latent_size;
    const embedding = embeddingOf(machine, arrays);
    const shape = { cell: parts.cells[config.cell], layers: config.num_layers, hidden: config.hidden_size, config };
    this.stack = new Stack(machine, shape, arrays, "core.", embedding, config.latent_input ? config.latent_size : 0);
    this.head = new Head(machine, arrays, "head", embedding, shape.cell.bounded(config));
    const encoder = {
      cell: parts.cells[config.encoder_cell || config.cell],
      layers: config.encoder_layers || config.num_layers,
      hidden: config.encoder_hidden_size || config.hidden_size,
      config,
    };
    const prefixes = config.encoder_bidirectional ? ["encoder.", "encoder_backward."] : ["encoder."];
    this.encoders = prefixes.map(prefix => new Stack(machine, encoder, arrays, prefix, embedding));
    this.maps = Object.fromEntries(["mean", "log_variance", "state"].map(name => [name, affine(arrays, `latent.${name}`)]));
    const ids = this.tokenizer.encode(END);
    [this.end] = ids;
    if (ids.length !== 1 || this.end === this.tokenizer.unknownId) throw new Refusal("this model's vocabulary has no line break to end a sentence with");
  }

  read(token) {
    this.stack.read(token);
  }

  logits() {
    return this.head.of(this.stack.output.place);
  }

  // Mean and log-variance (Z) of the distribution that a sentence is encoded as.
  encode(sentence) {
    const ids = this.#ids(sentence);
    const summary = this.encoders.flatMap((encoder, n) => {
      encoder.reset();
      for (const id of n ? ids.slice().reverse() : ids) encoder.read(id);
      return [...encoder.output.view.subarray(0, encoder.shape.hidden)];
    });
    return { mean: this.maps.mean(summary), logVariance: this.maps.log_variance(summary) };
  }

  // The sentence at a point (Z), which is drawn by number `index` of the seed, if it is drawn.
  decode(point, settings = {}) {
    const { length = this.longest + 1, mode = "argmax", stop = [], ...others } = settings;
    const chosen = settingsOf({ ...others, length: Math.min(length, this.longest + 1), mode, stop: [END, stop].flat() }, this.rules, this.data.rules);
    this.#begin(point);
    this.read(this.end);
    const decoder = this.tokenizer.decoder();
    decoder.push(this.end);
    const start = { ids: [this.end], logits: new Float64Array(this.logits()), decoder };
    return strip([...write(this, this.tokenizer, start, chosen)].map(({ text }) => text).join(""));
  }

  // Sentences at points drawn from the prior, each token drawn too.
  sampleSentences(count, { seed = null, index = 0, ...settings } = {}) {
    return this.randomPoints(count, seed, index).map((point, n) =>
      this.decode(point, { mode: "sample", ...settings, seed, index: index + n }));
  }

  // What a sentence's point is written as: first its mean, and then points drawn around it.
  reconstruct(sentence, count = 1, { seed = null, ...settings } = {}) {
    const { mean, logVariance } = this.encode(sentence);
    return this.randomPoints(count, seed).map((noise, n) => {
      const spread = logVariance.map(value => Math.exp(0.5 * value));
      return this.decode(n ? mean.map((value, i) => value + spread[i] * noise[i]) : mean, { ...settings, seed, index: n });
    });
  }

  // Sentences at even steps from one to another; without them, between two random points.
  interpolate(from, to, { steps = 8, seed = null, ...settings } = {}) {
    if (!from !== !to) throw new Refusal("give two sentences to go between, or none for two random points");
    const [a, b] = from ? [this.encode(from).mean, this.encode(to).mean] : this.randomPoints(2, seed);
    let before = null;
    return Array.from({ length: steps }, (_, n) => {
      const share = n / (steps - 1);
      const sentence = this.decode(a.map((value, i) => (1 - share) * value + share * b[i]), { ...settings, seed, index: n });
      const step = { fraction: share, sentence, repeats: sentence === before };
      before = sentence;
      return step;
    });
  }

  // Points (count, Z) of the prior, in single precision as in Python.
  randomPoints(count, seed, first = 0) {
    return Array.from({ length: count }, (_, n) => {
      const generator = generatorOf(seed, LATENT_DRAWS + first + n);
      return Float32Array.from({ length: this.latentSize }, () => normal(generator));
    });
  }

  // The whole answer to a request of the page.
  answer(path, { input, samples, steps, from, to, seed, n, max_tokens: length }) {
    return {
      "/v1/completions": () => ({ choices: this.sampleSentences(n, { seed, length }).map(text => ({ text })) }),
      "/v1/reconstruct": () => {
        const [sentence, ...others] = this.reconstruct(input, samples + 1, { seed });
        return { sentence, samples: others };
      },
      "/v1/interpolate": () => ({ steps: this.interpolate(from, to, { steps, seed }) }),
    }[path]();
  }

  #ids(sentence) {
    const line = strip(sentence);
    if (!line) throw new Refusal("a sentence is empty; give it at least one word");
    if (line.includes(END)) throw new Refusal("a sentence is one line; split it");
    // Encoded between line breaks, as it stood in the text that the model was trained on.
    const ids = this.tokenizer.encode(END + line + END).slice(1);
    if (ids.length - 1 > this.longest) throw new Refusal(`this sentence has ${ids.length - 1} tokens, and this model reads up to ${this.longest}; shorten it`);
    const known = this.tokenizer.unknownId === null || ids.slice(0, -1).some(id => id !== this.tokenizer.unknownId);
    if (!known) throw new Refusal("the model knows nothing of this sentence; write it in other words");
    return ids;
  }

  // The decoder's state before the first symbol: tanh of a map of the point, one state after the other.
  #begin(point) {
    const flat = this.maps.state(point), { layers } = this.stack, { hidden } = this.stack.shape;
    layers.forEach(({ states }, layer) => states.forEach((state, s) => {
      const first = (s * layers.length + layer) * hidden;
      for (let i = 0; i < hidden; i++) state.view[i] = Math.tanh(flat[first + i]);
    }));
    if (this.stack.constant) this.stack.setConstant(Float32Array.from(point));
  }
}

// A function from x to weight · x + bias, in single precision.
function affine(arrays, name) {
  const { shape: [rows, columns], values } = arrays[`${name}.weight`], bias = arrays[`${name}.bias`].values;
  return x => Float32Array.from({ length: rows }, (_, row) => {
    let sum = bias[row];
    for (let i = 0; i < columns; i++) sum += values[row * columns + i] * x[i];
    return sum;
  });
}
