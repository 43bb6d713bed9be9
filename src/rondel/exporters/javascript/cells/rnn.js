export const cell = {
  gates: ["hidden"],
  states: ["h"],
  apart: 0,
  bounded: config => config.nonlinearity !== "relu",
  pointwise: (functions, layer, size, config) =>
    (config.nonlinearity === "relu" ? functions.rnn_relu : functions.rnn_tanh)(
      layer.gates.place, layer.states[0].place, size),
};
