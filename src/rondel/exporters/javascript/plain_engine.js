// What engine.c does, in JavaScript: places are in bytes of `memory.buffer`, as there.

const sigmoid = x => 1 / (1 + Math.exp(-x));

export function plainFunctions(memory) {
  let floats = new Float32Array(memory.buffer);
  const at = place => {
    if (floats.buffer !== memory.buffer) floats = new Float32Array(memory.buffer);
    return place >> 2;
  };
  return {
    multiply(out, weights, x, rows, columns) {
      const o = at(out), first = at(x);
      for (let row = 0, w = at(weights); row < rows; row++) {
        let total = 0;
        for (let i = first; i < first + columns; i++, w++) total += floats[w] * floats[i];
        floats[o + row] += total;
      }
    },
    quantise(out, x, size, columns, bounded) {
      const first = at(x), whole = new Int16Array(memory.buffer, out, size);
      let peak = bounded ? 1 : 0;
      for (let i = 0; i < size && !bounded; i++) peak = Math.max(peak, Math.abs(floats[first + i]));
      const largest = Math.min(32767, (2 ** 31 - 1) / (127 * columns) - 1), factor = peak > 0 ? largest / peak : 0;
      for (let i = 0; i < size; i++) whole[i] = Math.round(floats[first + i] * factor);
      return peak / largest;
    },
    multiply_int8(out, weights, scales, x, unit, rows, columns) {
      const o = at(out), scale = at(scales), bytes = new Int8Array(memory.buffer, weights, rows * columns);
      const whole = new Int16Array(memory.buffer, x, columns);
      for (let row = 0, w = 0; row < rows; row++) {
        let total = 0;
        for (let i = 0; i < columns; i++, w++) total += bytes[w] * whole[i];
        floats[o + row] += floats[scale + row] * unit * total;
      }
    },
    hyperbolic_tangent(x, size) {
      for (let i = at(x), end = i + size; i < end; i++) floats[i] = Math.tanh(floats[i]);
    },
    rnn_tanh(gates, h, size) {
      const g = at(gates), hidden = at(h);
      for (let i = 0; i < size; i++) floats[g + i] = floats[hidden + i] = Math.tanh(floats[g + i]);
    },
    rnn_relu(gates, h, size) {
      const g = at(gates), hidden = at(h);
      for (let i = 0; i < size; i++) floats[g + i] = floats[hidden + i] = Math.max(0, floats[g + i]);
    },
    gru(gates, hiddenCandidate, h, size) {
      const g = at(gates), apart = at(hiddenCandidate), hidden = at(h);
      for (let i = 0; i < size; i++) {
        const reset = sigmoid(floats[g + i]), update = sigmoid(floats[g + size + i]);
        const candidate = Math.tanh(floats[g + 2 * size + i] + reset * floats[apart + i]);
        floats[g + i] = reset;
        floats[g + size + i] = update;
        floats[g + 2 * size + i] = candidate;
        floats[hidden + i] = candidate + update * (floats[hidden + i] - candidate);
      }
    },
    lstm(gates, h, c, size) {
      const g = at(gates), hidden = at(h), cell = at(c);
      for (let i = 0; i < size; i++) {
        const input = sigmoid(floats[g + i]), forget = sigmoid(floats[g + size + i]);
        const candidate = Math.tanh(floats[g + 2 * size + i]), output = sigmoid(floats[g + 3 * size + i]);
        const memory = forget * floats[cell + i] + input * candidate;
        floats[g + i] = input;
        floats[g + size + i] = forget;
        floats[g + 2 * size + i] = candidate;
        floats[g + 3 * size + i] = output;
        floats[cell + i] = memory;
        floats[hidden + i] = output * Math.tanh(memory);
      }
    },
  };
}
