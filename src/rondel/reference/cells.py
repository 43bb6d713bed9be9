"""The three cells: a forward step, and directly below it the same step's backward pass.

A step takes the gates' pre-activations in two halves (B, G*H), from_x = W_ih x + b_ih and
from_h = W_hh h + b_hh. It returns the next state and `backward`, which computes from the gradient
of that state those of `from_x`, of `from_h`, and of the old state other than through `from_h`.
Everywhere, `d_a` is dloss/da and has the shape of `a`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
State = tuple[Array, ...]  # (h,) or (h, c)
Backward = Callable[[State], tuple[Array, Array, State]]


class Cell(NamedTuple):
    """Gate names, in the order of their rows in the weights; state names; the step."""

    gates: tuple[str, ...]
    states: tuple[str, ...]
    step: Callable[[Array, Array, State], tuple[State, Backward]]


def sigmoid(a: Array) -> Array:
    """s = 1 / (1 + exp(-a)), computed from tanh, which cannot overflow; ds/da = s (1 - s)."""
    return np.asarray(0.5 * np.tanh(0.5 * a) + 0.5)


def rnn(from_x: Array, from_h: Array, state: State, relu: bool) -> tuple[State, Backward]:
    """h' = tanh(from_x + from_h), or relu of it (Elman 1990)."""
    h = np.maximum(from_x + from_h, 0) if relu else np.tanh(from_x + from_h)

    def backward(d_state: State) -> tuple[Array, Array, State]:
        d_a = d_state[0] * ((h > 0) if relu else (1 - h * h))
        return d_a, d_a, (np.zeros_like(h),)

    return (h,), backward


def gru(from_x: Array, from_h: Array, state: State) -> tuple[State, Backward]:
    """h' = (1 - z) n + z h, n = tanh(x_n + r h_n) (Cho et al. 2014; r after the matmul)."""
    (h,), (x_r, x_z, x_n), (h_r, h_z, h_n) = state, np.split(from_x, 3, 1), np.split(from_h, 3, 1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + r * h_n)

    def backward(d_state: State) -> tuple[Array, Array, State]:
        (d_h,) = d_state
        d_n = d_h * (1 - z) * (1 - n * n)  # of n, then through its tanh
        d_z, d_r = d_h * (h - n) * z * (1 - z), d_n * h_n * r * (1 - r)
        return np.hstack([d_r, d_z, d_n]), np.hstack([d_r, d_z, d_n * r]), (d_h * z,)

    return ((1 - z) * n + z * h,), backward


def lstm(from_x: Array, from_h: Array, state: State) -> tuple[State, Backward]:
    """c' = f c + i g, h' = o tanh c' (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""
    i, f, g, o = np.split(from_x + from_h, 4, 1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * state[1] + i * g
    tanh_c = np.tanh(c)

    def backward(d_state: State) -> tuple[Array, Array, State]:
        d_h, d_c = d_state
        d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)  # c' is used by the next step and by h'
        d_i, d_f = d_c * g * i * (1 - i), d_c * state[1] * f * (1 - f)
        d_g, d_o = d_c * i * (1 - g * g), d_h * tanh_c * o * (1 - o)
        d_a = np.hstack([d_i, d_f, d_g, d_o])
        return d_a, d_a, (np.zeros_like(d_h), d_c * f)

    return (o * tanh_c, c), backward


def make_cell(name: str, nonlinearity: str = "tanh") -> Cell:
    """Return the cell rnn, gru or lstm; `nonlinearity` is the rnn's activation, tanh or relu."""
    return {
        "rnn": Cell(("hidden",), ("h",), lambda x, h, s: rnn(x, h, s, nonlinearity == "relu")),
        "gru": Cell(("reset", "update", "candidate"), ("h",), gru),
        "lstm": Cell(("input", "forget", "candidate", "output"), ("h", "c"), lstm),
    }[name]
