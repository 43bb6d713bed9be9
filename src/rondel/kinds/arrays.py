"""The arrays of a model: their names and shapes, as a model's folder holds them.

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
    """Layers of a cell on one another; the first reads `input_size` numbers."""
    rows = len(cells[cell].gates) * hidden_size
    for layer in range(layers):
        yield f"{prefix}.weight_ih_l{layer}", (rows, hidden_size if layer else input_size)
        yield f"{prefix}.weight_hh_l{layer}", (rows, hidden_size)
        yield f"{prefix}.bias_ih_l{layer}", (rows,)
        yield f"{prefix}.bias_hh_l{layer}", (rows,)


def language_model_arrays(config: ModelConfig, joined: int = 0) -> Arrays:
    """`embedding` (V, E), unless input is one-hot; `core`, a stack; `head` (V, H), unless tied.

    `joined` is how many numbers the first layer reads besides a token's vector.
    """
    vocab_size, hidden_size = config.vocab_size, config.hidden_size
    width = input_width(config)
    if config.embedding_size:
        yield "embedding.weight", (vocab_size, width)
    yield from stack_arrays("core", config.cell, width + joined, hidden_size, config.num_layers)
    yield from output_arrays("head", config)


def output_arrays(name: str, config: ModelConfig) -> Arrays:
    """What maps outputs to the vocabulary: its softmax says."""
    return softmax_of(config).arrays(name, config)


def linear_arrays(name: str, rows: int, columns: int) -> Arrays:
    """A linear map with its bias."""
    yield f"{name}.weight", (rows, columns)
    yield f"{name}.bias", (rows,)


def input_width(config: ModelConfig) -> int:
    """How many numbers stand for a token."""
    return config.embedding_size or config.vocab_size
