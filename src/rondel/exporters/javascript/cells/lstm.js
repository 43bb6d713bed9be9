export const cell = {
  gates: ["input", "forget", "candidate", "output"],
  states: ["h", "c"],
  apart: 0,
  bounded: () => true,
  pointwise: (functions, layer, size) =>
    functions.lstm(layer.gates.place, layer.states[0].place, layer.states[1].place, size),
};
