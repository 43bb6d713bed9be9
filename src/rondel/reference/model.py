"""The language model: embedding, layers of cells and a head; backpropagation through time.

Shapes: T time, B streams, V vocabulary, E embedding, H hidden size, L layers, G gates of the cell.
Parameters are named and ordered as torch.nn's:

    embedding.weight (V, E)      left out for one-hot input, where E is V
    core.weight_ih_l0 (G*H, E)   core.weight_hh_l0 (G*H, H)   core.bias_ih_l0, bias_hh_l0 (G*H,)
    ... and the same for the layers l1, l2 ..., where E is H
    head.weight (V, H)           left out if tied to the embedding     head.bias (V,)
"""

from typing import Any, NamedTuple

import numpy as np

from rondel.reference.cells import Array, Cell, State

Parameters = dict[str, Array]
SUM_OVER_TB = ((0, 1), (0, 1))  # for tensordot: a weight's gradient is one matmul over T and B


def initial_parameters(
    cell: Cell, vocab_size: int, hidden_size: int, num_layers: int = 1, embedding_size: int = 0,
    tie_weights: bool = False, forget_bias: float = 1.0, seed: int = 1,
) -> Parameters:  # fmt: skip
    """Draw float32 parameters as torch.nn does: ±1/sqrt(H) uniform; untied embeddings normal."""
    rows, head = len(cell.gates) * hidden_size, "embedding.weight" if tie_weights else "head.weight"
    width = hidden_size if tie_weights else embedding_size or vocab_size
    shapes = {head: (vocab_size, hidden_size), "head.bias": (vocab_size,)}
    for layer in range(num_layers):
        shapes[f"core.weight_ih_l{layer}"] = (rows, hidden_size if layer else width)
        shapes[f"core.weight_hh_l{layer}"] = (rows, hidden_size)
        shapes[f"core.bias_ih_l{layer}"] = shapes[f"core.bias_hh_l{layer}"] = (rows,)
    rng, bound = np.random.default_rng(seed), hidden_size**-0.5
    p = {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}
    if embedding_size and not tie_weights:
        p["embedding.weight"] = rng.normal(size=(vocab_size, embedding_size))
    for name in [name for name in p if "forget" in cell.gates and "core.bias" in name]:
        p[name][hidden_size : 2 * hidden_size] = forget_bias if "bias_ih" in name else 0
    return {name: array.astype(np.float32) for name, array in p.items()}


class Model(NamedTuple):
    """A cell and its parameters. The state is passed in and returned; the model keeps none."""

    cell: Cell
    parameters: Parameters

    def initial_state(self, batch_size: int) -> State:
        """Return zeros: one array (L, B, H) for each of the cell's states."""
        weights = [array for name, array in self.parameters.items() if "weight_hh" in name]
        shape = (len(weights), batch_size, weights[0].shape[1])
        return tuple(np.zeros(shape, weights[0].dtype) for _ in self.cell.states)

    def forward(self, x_TB: Array, state: State) -> tuple[Array, State, list[Any]]:
        """Return logits (T, B, V) after each token, the next state, and values for backward."""
        p, saved, ends = self.parameters, [], []
        one_hot = np.equal.outer(x_TB, np.arange(len(p["head.bias"]))).astype(p["head.bias"].dtype)
        inputs = p["embedding.weight"][x_TB] if "embedding.weight" in p else one_hot
        for layer in range(len(state[0])):
            weight_hh, bias_hh = p[f"core.weight_hh_l{layer}"], p[f"core.bias_hh_l{layer}"]
            now = tuple(part_LBH[layer] for part_LBH in state)
            hiddens, steps = [now[0]], []
            # The inputs of all steps are known, so this half of the gates is one matmul.
            for from_x in inputs @ p[f"core.weight_ih_l{layer}"].T + p[f"core.bias_ih_l{layer}"]:
                now, backward = self.cell.step(from_x, now[0] @ weight_hh.T + bias_hh, now)
                hiddens.append(now[0])
                steps.append(backward)
            saved.append((inputs, np.stack(hiddens[:-1]), steps))
            inputs = np.stack(hiddens[1:])
            ends.append(now)
        head = "head.weight" if "head.weight" in p else "embedding.weight"
        state = tuple(np.stack(parts) for parts in zip(*ends, strict=True))
        return inputs @ p[head].T + p["head.bias"], state, [*saved, (inputs, head)]

    def loss_and_gradients(
        self, x_TB: Array, y_TB: Array, state: State
    ) -> tuple[float, Parameters, State]:
        """Return mean nats per token of targets `y_TB`, gradients by parameter, the new state."""
        logits_TBV, next_state, (*saved, (outputs, head)) = self.forward(x_TB, state)
        p, (loss, d_logits) = self.parameters, cross_entropy(logits_TBV, y_TB)
        d = {"head.bias": d_logits.sum((0, 1)), head: np.tensordot(d_logits, outputs, SUM_OVER_TB)}
        d_outputs = d_logits @ p[head]
        for layer, (inputs, hiddens, steps) in reversed(list(enumerate(saved))):
            weight_hh = p[f"core.weight_hh_l{layer}"]
            d_from_x, d_from_h = np.empty((2, *x_TB.shape, len(weight_hh)), weight_hh.dtype)
            d_now = tuple(np.zeros_like(part_LBH[layer]) for part_LBH in state)
            for t in reversed(range(len(steps))):
                # h_t is used twice, by the layer above and by step t + 1: the gradients add.
                d_from_x[t], d_from_h[t], d_now = steps[t]((d_now[0] + d_outputs[t], *d_now[1:]))
                d_now = (d_now[0] + d_from_h[t] @ weight_hh, *d_now[1:])
            d[f"core.weight_ih_l{layer}"] = np.tensordot(d_from_x, inputs, SUM_OVER_TB)
            d[f"core.weight_hh_l{layer}"] = np.tensordot(d_from_h, hiddens, SUM_OVER_TB)
            d[f"core.bias_ih_l{layer}"] = d_from_x.sum((0, 1))
            d[f"core.bias_hh_l{layer}"] = d_from_h.sum((0, 1))
            d_outputs = d_from_x @ p[f"core.weight_ih_l{layer}"]
        if "embedding.weight" in p:  # each occurrence of a token adds to its row
            d.setdefault("embedding.weight", np.zeros_like(p["embedding.weight"]))
            np.add.at(d["embedding.weight"], x_TB, d_outputs)
        return loss, d, next_state


def cross_entropy(logits_TBV: Array, y_TB: Array) -> tuple[float, Array]:
    """Return mean -log softmax(logits)[y] in nats; its gradient (softmax - one_hot(y)) / (T B)."""
    scores = logits_TBV - logits_TBV.max(-1, keepdims=True)  # the same softmax, without overflow
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    picked, d_logits = (*np.indices(y_TB.shape), y_TB), np.exp(log_p)
    d_logits[picked] -= 1
    return -float(log_p[picked].mean()), d_logits / y_TB.size
