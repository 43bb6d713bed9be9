"""The base class of kinds of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rondel.kinds.arrays import Arrays, language_model_arrays
from rondel.registry import Part
from rondel.settings.sections import ModelConfig

if TYPE_CHECKING:
    from rondel.data.facts import TextFacts


class Kind:
    """A kind of model. A subclass names its parts; the defaults are those of a language model.

    An instance of each is registered in `rondel.kinds`.
    """

    name: ClassVar[str]
    """Its name in `--model` and `model.json`."""

    noun: ClassVar[str]
    """Its name in messages, without an article."""

    flag_help: ClassVar[str] = ""
    """Help of the flag `rondel train --NAME`, short for `--model NAME`; if empty, no such flag."""

    loss_name: ClassVar[str] = "loss"
    """Its loss's name, so that it is not taken for the loss of another kind."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Defaults of this kind for settings that all runs have."""

    model_settings: ClassVar[type | None] = None
    training_settings: ClassVar[type | None] = None
    """Settings of this kind alone, for the sections `model` and `training`: dataclasses of
    `setting` fields."""

    has_reference: ClassVar[bool] = False
    """Whether `--backend numpy` can train it."""

    takes_weights: ClassVar[bool] = True
    """Whether it can start from another model's weights, or from word vectors."""

    is_sized: ClassVar[bool] = False
    """Whether its size is chosen for the text and the minutes, if none is given."""

    is_causal: ClassVar[bool] = False
    """Whether it predicts a token only from those before it."""

    has_softmaxes: ClassVar[bool] = False
    """Whether its output can be another `--softmax` than the full one."""

    reads_documents: ClassVar[bool] = False
    """Whether `--documents` can be used: the state is reset where a document begins."""

    drawn_with_loss: ClassVar[Mapping[str, str]] = {}
    drawn_below: ClassVar[Mapping[str, str]] = {}
    drawn_counts: ClassVar[Mapping[str, str]] = {}
    """Figures of a validation that `loss.png` shows, by name, with their labels: in the loss's
    panel; in a panel below it; and counts, in that panel. The first two are in the loss's unit."""

    # To train it.
    prepare: ClassVar[Part] = Part("rondel.data.text_preparation:prepare_text")
    """`(text, text settings, seed, make_tokenizer, folder, watch) -> PreparedText`."""
    batches: ClassVar[Part] = Part("rondel.data.batches:text_batches")
    """`(tokens, tokenizer, training settings, cursor) -> (batch, next cursor) …`, without end."""
    text_facts: ClassVar[Part] = Part("rondel.data.facts:facts_of_text")
    """`(tokens of the training split, tokenizer) -> TextFacts`."""
    steps_per_epoch: ClassVar[Part] = Part("rondel.data.batches:text_steps_per_epoch")
    """`(facts of the text, training settings) -> int`."""
    module: ClassVar[Part]
    """A class of `rondel.models.base.Model`."""
    learner: ClassVar[Part] = Part("rondel.training.torch_learner:build_learner")
    """`(run settings, tokenizer) -> Learner`."""

    # To use it.
    api_class: ClassVar[Part] = Part("rondel.api.language_model:LanguageModel")
    """A class of `rondel.api.base.Model`."""
    sample_command: ClassVar[Part] = Part("rondel.cli.sample:write_texts")
    """`(model, the command's options) -> None`: `rondel sample`."""
    eval_command: ClassVar[Part] = Part("rondel.cli.eval:evaluate_text")
    """`(model, the command's options) -> None`: `rondel eval`."""
    read_request: ClassVar[Part] = Part("rondel.serving.requests:read_prompts")
    """`(service, served, body, settings) -> CompletionPlan`: reads a request for completions."""
    text_reader: ClassVar[Part] = Part("rondel.inspection.text_reader:OneWayReader")
    """`(config) -> OneWayReader`: reads a text to trace its units."""
    show_sample: ClassVar[Part] = Part("rondel.training.callbacks.samples:written_text")
    """`(model folder's parts, seed, number) -> str`: writes a sample during training."""

    def settings_types(self) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        types = {"model": self.model_settings, "training": self.training_settings}
        return {section: cls for section, cls in types.items() if cls is not None}

    def counted(self, facts: TextFacts) -> Mapping[str, Any]:
        """Return the settings of the model that are counted in its text and cannot be given."""
        return {"vocab_size": facts.vocab_size}

    def arrays(self, config: ModelConfig) -> Arrays:
        """Yield the name and shape of every array of such a model."""
        return language_model_arrays(config)

    def loss_unit(self, token_noun: str) -> str:
        """Return what its losses are per: a token, by the tokenizer's noun, or something else."""
        return token_noun

    def loss_note(self, token_noun: str) -> str:
        """Return the unit to print after a loss."""
        return f"nats per {token_noun}"
