// Recurrent layers over tokens, and the head that maps their outputs to logits, in a machine's memory.
//
// Shapes: V vocabulary, E embedding, H hidden size, G gates, Z numbers of a constant input. In memory
// every gate and every row begins at a multiple of 4 numbers; the padding stays 0.

import { padded, rowsOf } from "./machine.js";

const LARGEST_TABLE = 2 ** 21; // numbers: beyond, a product at each step costs less than the memory
const TRACKS = { h: "hidden", c: "cell" }; // what the states are called where they are traced

// The embedding (V, E) of a model in memory; null for one-hot input.
export function embeddingOf(machine, arrays) {
  const found = arrays["embedding.weight"];
  return found ? machine.matrix(found, found.shape[1], found.shape[0]) : null;
}

export class Stack {
  // `shape` has the cell, `layers`, `hidden` and the model's `config`; arrays are named as in a model
  // folder, under a prefix such as "core.".
  constructor(machine, shape, arrays, prefix, embedding, constantSize = 0) {
    this.machine = machine;
    this.shape = shape;
    this.size = padded(shape.hidden);
    this.embedding = embedding;
    this.layers = Array.from({ length: shape.layers }, (_, number) => this.#layer(arrays, prefix, number));
    const first = arrays[`${prefix}weight_ih_l0`];
    const width = first.shape[1] - constantSize;
    const input = columnsOf(first, 0, width);
    if (embedding) this.layers[0].input = machine.matrix({ values: input }, width, shape.hidden);
    this.table = embedding ? this.#tableOfEmbedding() : this.#table(input, width);
    if (constantSize) {
      this.constant = machine.reserve(this.layers[0].gates.size);
      this.constantWeights = machine.matrix({ values: columnsOf(first, width, constantSize) }, constantSize, shape.hidden);
      this.constantInput = machine.reserve(constantSize);
    }
  }

  #layer(arrays, prefix, number) {
    const { machine, size } = this, { cell, hidden, config } = this.shape, bounded = cell.bounded(config);
    const array = name => arrays[`${prefix}${name}_l${number}`];
    const above = number ? array("weight_ih") : null;
    const recurrent = machine.matrix(array("weight_hh"), hidden, hidden, bounded);
    const bias = machine.vector(array("bias_ih").values, hidden), hiddenBias = machine.vector(array("bias_hh").values, hidden);
    // Of gates whose hidden half is kept apart, the hidden bias is too.
    const together = (cell.gates.length - cell.apart) * size;
    for (let i = 0; i < together; i++) bias.view[i] += hiddenBias.view[i];
    return {
      input: above ? machine.matrix(above, hidden, hidden, bounded) : null,
      recurrent: rowsOf(recurrent, 0, together),
      recurrentApart: rowsOf(recurrent, together, cell.apart * size),
      bias,
      apartBias: hiddenBias.view.slice(together),
      gates: machine.reserve(cell.gates.length * size),
      apart: machine.reserve(cell.apart * size),
      states: cell.states.map(() => machine.reserve(size)),
    };
  }

  // The gates' sums (V, G*H) of every token, of weights (G*H, V) for one-hot input.
  #table(values, vocab) {
    const wide = this.layers[0].gates.size, { hidden } = this.shape;
    const table = this.machine.reserve(vocab * wide), into = table.view, bias = this.layers[0].bias.view;
    for (let row = 0, rows = values.length / vocab; row < rows; row++) {
      const column = Math.floor(row / hidden) * this.size + row % hidden;
      for (let token = 0; token < vocab; token++) into[token * wide + column] = values[row * vocab + token] + bias[column];
    }
    return table;
  }

  // The same by an embedding; null if it were too large.
  #tableOfEmbedding() {
    const { machine, embedding } = this, { gates, bias, input } = this.layers[0], wide = gates.size;
    if (embedding.rows * wide > LARGEST_TABLE) return null;
    const table = machine.reserve(embedding.rows * wide);
    for (let token = 0; token < embedding.rows; token++) {
      table.view.set(bias.view, token * wide);
      machine.multiply(table.place + 4 * token * wide, input, embedding.place + 4 * token * embedding.columns);
    }
    return table;
  }

  reset() {
    for (const layer of this.layers) for (const state of layer.states) state.view.fill(0);
  }

  // What a constant input of Z numbers adds to the first layer's gates, from here on.
  setConstant(values) {
    this.constantInput.view.set(values);
    this.constant.view.fill(0);
    this.machine.multiply(this.constant.place, this.constantWeights, this.constantInput.place);
  }

  // All states, one after the other, to go on from them again.
  get state() {
    const parts = this.layers.flatMap(layer => layer.states.map(state => state.view));
    const all = new Float32Array(parts.length * this.size);
    parts.forEach((part, n) => all.set(part, n * this.size));
    return all;
  }

  set state(all) {
    let at = 0;
    for (const layer of this.layers) {
      for (const state of layer.states) {
        state.view.set(all.subarray(at, at + this.size));
        at += this.size;
      }
    }
  }

  get zero() {
    return new Float32Array(this.layers.length * this.shape.cell.states.length * this.size);
  }

  // The last layer's output in a state.
  outputOf(state) {
    const first = (this.layers.length - 1) * this.shape.cell.states.length * this.size;
    return state.subarray(first, first + this.size);
  }

  // The last layer's output, after the tokens read so far.
  get output() {
    return this.layers[this.layers.length - 1].states[0];
  }

  read(token) {
    const { machine, size } = this, { cell, config } = this.shape;
    let below = null;
    for (const layer of this.layers) {
      const gates = layer.gates.view;
      if (below === null && this.table) {
        gates.set(this.table.view.subarray(token * gates.length, (token + 1) * gates.length));
      } else {
        gates.set(layer.bias.view);
        const place = below === null ? this.embedding.place + 4 * this.embedding.columns * token : below;
        machine.multiply(layer.gates.place, layer.input, place);
      }
      if (below === null && this.constant) this.constant.view.forEach((value, i) => { gates[i] += value; });
      machine.multiply(layer.gates.place, layer.recurrent, layer.states[0].place);
      if (cell.apart) {
        layer.apart.view.set(layer.apartBias);
        machine.multiply(layer.apart.place, layer.recurrentApart, layer.states[0].place);
      }
      cell.pointwise(machine.functions, layer, size, config);
      below = layer.states[0].place;
    }
  }

  // The values (H) of a track in a layer, after the token that was read last: a state or a gate.
  track(name, layer) {
    const { cell, hidden } = this.shape, { states, gates } = this.layers[layer];
    const state = cell.states.findIndex(one => (TRACKS[one] || one) === name);
    if (state >= 0) return states[state].view.subarray(0, hidden);
    const gate = cell.gates.indexOf(name);
    return gates.view.subarray(gate * this.size, gate * this.size + hidden);
  }
}

// Logits of outputs: a matrix (V, H), which may be the embedding, and a bias (V). `bounded` says that
// outputs are within 1.
export class Head {
  constructor(machine, arrays, name, embedding, bounded = false) {
    const weight = arrays[`${name}.weight`], bias = arrays[`${name}.bias`];
    this.machine = machine;
    this.vocab = bias.values.length;
    this.matrix = weight ? machine.matrix(weight, weight.shape[1], this.vocab, bounded) : embedding;
    this.bias = machine.vector(bias.values, this.vocab);
    this.logits = machine.reserve(this.vocab);
  }

  // Logits (V) of an output (H) at a place in memory; a view, good until the next call.
  of(place) {
    this.logits.view.set(this.bias.view);
    this.machine.multiply(this.logits.place, this.matrix, place);
    return this.logits.view.subarray(0, this.vocab);
  }
}

// The columns of a matrix from `first` on.
export function columnsOf({ shape: [rows, columns], values }, first, count) {
  if (count === columns) return values;
  const found = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) found.set(values.subarray(row * columns + first, row * columns + first + count), row * count);
  return found;
}
