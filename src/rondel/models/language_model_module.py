"""The recurrent language model: predict each token from those before it (Mikolov et al. 2010).

Shapes: T time, B batch, E embedding size, H hidden size, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from rondel.cells import build_cell
from rondel.models.base import Model, ModelState, TensorBatch
from rondel.nn import compiled
from rondel.nn.dropout import Dropout
from rondel.nn.stack import RecurrentStack
from rondel.settings import ModelConfig
from rondel.softmaxes import softmax_of


class LanguageModel(Model):
    """Embedding or one-hot input, a recurrent stack, and a softmax over the vocabulary.

    With `tie_weights` the head's matrix is the embedding itself (Press & Wolf 2017), and a model
    folder holds it once, as `embedding.weight`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.embedding = (
            nn.Embedding(config.vocab_size, config.embedding_size)
            if config.embedding_size
            else None
        )
        self.core = RecurrentStack(
            build_cell(config),
            config.embedding_size or config.vocab_size,
            config.hidden_size,
            config.num_layers,
            config.dropout,
            config.variational,
        )
        self.head = softmax_of(config).module(config)
        self.embedding_dropout = Dropout(config.embedding_dropout, config.variational)
        if config.tie_weights and self.embedding is not None:
            # With an embedding's usual unit variance, the first logits would be far too large.
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
            nn.init.zeros_(self.head.bias)
            self.head.weight = self.embedding.weight

    def initial_state(self, batch_size: int) -> ModelState:
        """Return zeros: (L, B, H) for each state name."""
        return self.core.initial_state(batch_size)

    def forward(self, tokens_TB: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Return the next token's logits (T, B, V) after each token, and the last state."""
        outputs_TBH, state = self.core(self.embed(tokens_TB), state)
        return self.head(outputs_TBH), state

    def losses(
        self, batch: TensorBatch, state: ModelState, step: int
    ) -> tuple[dict[str, Tensor], ModelState]:
        """Return `nll`, the mean negative log-likelihood in nats. The state gets no gradient."""
        if self._is_fused(state):
            nll, state = compiled.language_model_loss(
                self.core.cell,
                self.core.flat_parameters(),
                None if self.embedding is None else self.embedding.weight,
                self.head.weight,
                self.head.bias,
                batch.inputs,
                batch.targets,
                state,
                self.core.masks(),
            )
            return {"nll": nll}, state
        outputs_TBH, state = self.core(self.embed(batch.inputs), state)
        return {"nll": self.head.mean_nll(outputs_TBH, batch.targets)}, state

    def named_arrays(self) -> dict[str, Tensor]:
        """See `Model.named_arrays`."""
        arrays = {f"core.{name}": array for name, array in self.core.named_arrays().items()}
        arrays |= {f"head.{name}": array for name, array in self.head.named_parameters()}
        if self.config.tie_weights:
            del arrays["head.weight"]
        if self.embedding is not None:
            arrays["embedding.weight"] = self.embedding.weight
        return arrays

    def embed(self, tokens_TB: Tensor) -> Tensor:
        """Return the core's input for each token: (T, B, E), or (T, B, V) one-hot."""
        if self.embedding is None:
            dtype = next(self.head.parameters()).dtype
            return functional.one_hot(tokens_TB, self.config.vocab_size).to(dtype)
        embedded: Tensor = self.embedding_dropout(self.embedding(tokens_TB))
        return embedded

    def _is_fused(self, state: ModelState) -> bool:
        """Whether kernels compute the loss in one pass: on a CPU, for a small vocabulary."""
        return (
            softmax_of(self.config).is_linear
            and self.config.vocab_size <= compiled.LARGEST_FUSED_VOCABULARY
            and not (self.training and self.embedding_dropout.probability)
            and compiled.applies(self.core.cell, self.head.weight, *state)
        )
