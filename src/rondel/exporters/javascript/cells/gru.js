export const cell = {
  gates: ["reset", "update", "candidate"],
  states: ["h"],
  apart: 1, // the reset gate acts on the hidden half of the candidate alone
  bounded: () => true,
  pointwise: (functions, layer, size) =>
    functions.gru(layer.gates.place, layer.apart.place, layer.states[0].place, size),
};
