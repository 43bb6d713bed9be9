"""The bidirectional model: it predicts each token from those before it and those after it."""

from __future__ import annotations

from rondel.kinds import kinds
from rondel.kinds.arrays import (
    Arrays,
    input_width,
    language_model_arrays,
    linear_arrays,
    output_arrays,
    stack_arrays,
)
from rondel.kinds.base import Kind
from rondel.registry import Part
from rondel.settings.sections import ModelConfig


class Bidirectional(Kind):
    """Two stacks, one reading forward and one backward (Schuster & Paliwal 1997)."""

    name = "bidirectional"
    noun = "bidirectional model"
    flag_help = "Predict from both sides"
    loss_name = "cloze loss"
    batches = Part("rondel.data.batches:two_way_batches")
    module = Part("rondel.models.bidirectional_module:BidirectionalModel")

    api_class = Part("rondel.api.bidirectional:BidirectionalModel")
    eval_command = Part("rondel.cli.eval:evaluate_both_sides")
    text_reader = Part("rondel.inspection.text_reader:TwoWayReader")

    def arrays(self, config: ModelConfig) -> Arrays:
        """Yield a language model's; `backward`, a stack; `join` (H, 2H); and `cloze`, a head."""
        size = config.hidden_size
        yield from language_model_arrays(config)
        yield from stack_arrays(
            "backward", config.cell, input_width(config), size, config.num_layers
        )
        yield from linear_arrays("join", size, 2 * size)
        yield from output_arrays("cloze", config)

    def loss_note(self, token_noun: str) -> str:
        """See `Kind.loss_note`."""
        return f"{super().loss_note(token_noun)}, given both sides"


kinds.register(Bidirectional.name)(Bidirectional())
