"""The arrays of a model: their names and shapes in a model folder.

Shapes: V vocabulary, E embedding size, H hidden size, G rows of gates. A cell's arrays are those of
`torch.nn.LSTM`, `GRU` and `RNN`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rondel.cells import cells
from rondel.settings.sections import ModelConfig
from rondel.softmaxes import softmax_of

Shape = tuple[int, ...]
Arrays = Iterator[tuple[str, Shape]]


def stack_arrays(prefix: str, cell: str, input_size: int, hidden_size: int, layers: int) -> Arrays:
    """Yield the arrays of a stack of layers, the first of which reads `input_size` numbers."""
    rows = len(cells[cell].gates) * hidden_size
    for layer in range(layers):
        yield f"{prefix}.weight_ih_l{layer}", (rows, hidden_size if layer else input_size)
        yield f"{prefix}.weight_hh_l{layer}", (rows, hidden_size)
        yield f"{prefix}.bias_ih_l{layer}", (rows,)
        yield f"{prefix}.bias_hh_l{layer}", (rows,)


def language_model_arrays(config: ModelConfig, joined: int = 0) -> Arrays:
    """Yield `embedding` (V, E), unless input is one-hot; `core`, a stack; `head` (V, H).

    The weights of the head are left out if they are tied.

    `joined` is how many numbers the first layer reads besides a token's vector.
    """
    vocab_size, hidden_size = config.vocab_size, config.hidden_size
    width = input_width(config)
    if config.embedding_size:
        yield "embedding.weight", (vocab_size, width)
    yield from stack_arrays("core", config.cell, width + joined, hidden_size, config.num_layers)
    yield from output_arrays("head", config)


def output_arrays(name: str, config: ModelConfig) -> Arrays:
    """Yield the arrays of a map to the vocabulary, as its softmax has them."""
    return softmax_of(config).arrays(name, config)


def linear_arrays(name: str, rows: int, columns: int) -> Arrays:
    """Yield the arrays of a linear map with a bias."""
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def input_width(config: ModelConfig) -> int:
    """Return the size of a token's vector."""
    return config.embedding_size or config.vocab_size
