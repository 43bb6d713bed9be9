"""The optimiser, gradient clipping, the training loop, and sampling."""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from rondel.reference.cells import Array
from rondel.reference.model import Model, Parameters


class RMSprop:
    """Divides a gradient by the root of its running mean square (Tieleman & Hinton 2012)."""

    def __init__(self, rho: float = 0.95, epsilon: float = 1e-8) -> None:
        self.rho, self.epsilon = rho, epsilon
        self.mean_square: Parameters = {}  # its only state

    def update(self, parameters: Parameters, gradients: Parameters, learning_rate: float) -> None:
        """Update `parameters` in place, as torch.optim.RMSprop does."""
        for name, d in gradients.items():
            mean = self.rho * self.mean_square.get(name, 0) + (1 - self.rho) * d * d
            parameters[name] -= learning_rate * d / (np.sqrt(mean) + self.epsilon)
            self.mean_square[name] = mean


def clip_by_value(gradients: Parameters, limit: float) -> None:
    """Clip every entry to ±limit, in place."""
    for d in gradients.values():
        np.clip(d, -limit, limit, out=d)


def clip_by_norm(gradients: Parameters, limit: float) -> float:
    """Scale all gradients, in place, to a joint norm of at most `limit`; return the old norm."""
    norm = float(np.sqrt(sum((d * d).sum() for d in gradients.values())))
    for d in gradients.values():
        d *= min(1.0, limit / (norm + 1e-6))
    return norm


def train(
    model: Model, tokens_N: Array, epochs: int,
    batch_size: int = 25, seq_length: int = 64, learning_rate: float = 4e-3,
) -> Iterator[float]:  # fmt: skip
    """Train by truncated BPTT: chunks pass on the state, but no gradients. Yields each loss."""
    length = max(1, (len(tokens_N) - 1) // batch_size)  # reshape refuses a text that is too short
    x_TB = tokens_N[: length * batch_size].reshape(batch_size, length).T  # a column is a stream
    y_TB = tokens_N[1 : length * batch_size + 1].reshape(batch_size, length).T
    optimizer, starts = RMSprop(), range(0, length, seq_length)
    for epoch in range(epochs):
        state = model.initial_state(batch_size)
        for step, t in enumerate(starts, epoch * len(starts)):
            x, y = x_TB[t : t + seq_length], y_TB[t : t + seq_length]
            loss, gradients, state = model.loss_and_gradients(x, y, state)
            clip_by_value(gradients, 5)
            rate = learning_rate * (1 - step / (epochs * len(starts)))  # linear to 0
            optimizer.update(model.parameters, gradients, rate)
            yield loss


def sample(model: Model, prime: Array, length: int, rng: Generator, temperature: float) -> Array:
    """Return `prime` and `length` tokens drawn after it; low temperatures favour likely tokens."""
    state, tokens, unread = model.initial_state(1), list(prime), prime
    for _ in range(length):
        logits_TBV, state, _ = model.forward(np.reshape(unread, (-1, 1)), state)
        scores = logits_TBV[-1, 0].astype(float) / temperature
        p = np.exp(scores - scores.max())
        unread = rng.choice(len(p), size=1, p=p / p.sum())
        tokens.extend(unread)
    return np.array(tokens)
