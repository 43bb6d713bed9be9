"""What a kind of model says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rondel.kinds.arrays import Arrays, language_model_arrays
from rondel.registry import Part
from rondel.settings.sections import ModelConfig

if TYPE_CHECKING:
    from rondel.data.facts import TextFacts


class Kind:
    """A kind of model. A subclass names its parts; what is said here is a language model's.

    An instance of each is registered in `rondel.kinds`.
    """

    name: ClassVar[str]
    """What `--model` calls it, and `model.json`."""

    noun: ClassVar[str]
    """What a message calls a model of this kind, without an article."""

    flag_help: ClassVar[str] = ""
    """What `rondel train --NAME` does, which is short for `--model NAME`; without, no such flag."""

    loss_name: ClassVar[str] = "loss"
    """What its losses are called, so that none passes for one of another kind."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings of every run that are others for this kind, where none are given."""

    model_settings: ClassVar[type | None] = None
    training_settings: ClassVar[type | None] = None
    """Its own settings, in the sections `model` and `training`: dataclasses of `setting` fields."""

    has_reference: ClassVar[bool] = False
    """Whether `--backend numpy` trains it."""

    takes_weights: ClassVar[bool] = True
    """Whether it starts from another model's weights, or from word vectors."""

    is_sized: ClassVar[bool] = False
    """Whether its size is chosen for the text and the minutes, where none is given."""

    is_causal: ClassVar[bool] = False
    """Whether all of it predicts a token from those before it alone."""

    has_softmaxes: ClassVar[bool] = False
    """Whether its output can be another `--softmax` than the full one."""

    reads_documents: ClassVar[bool] = False
    """Whether it is trained on documents, with the state reset where one begins (--documents)."""

    # Making one.
    prepare: ClassVar[Part] = Part("rondel.data.text_preparation:prepare_text")
    """`(text, text settings, seed, make_tokenizer, folder, watch) -> PreparedText`."""
    batches: ClassVar[Part] = Part("rondel.data.batches:text_batches")
    """`(tokens, tokenizer, training settings, cursor) -> (batch, next cursor) …`, endless."""
    text_facts: ClassVar[Part] = Part("rondel.data.facts:facts_of_text")
    """`(tokens of the training part, tokenizer) -> TextFacts`."""
    steps_per_epoch: ClassVar[Part] = Part("rondel.data.batches:text_steps_per_epoch")
    """`(facts of the text, training settings) -> int`."""
    module: ClassVar[Part]
    """A class of `rondel.models.base.Model`."""
    learner: ClassVar[Part] = Part("rondel.training.torch_learner:build_learner")
    """`(run settings, tokenizer) -> Learner`."""

    # Using one.
    api_class: ClassVar[Part] = Part("rondel.api.language_model:LanguageModel")
    """A class of `rondel.api.base.Model`."""
    sample_command: ClassVar[Part] = Part("rondel.cli.sample:write_texts")
    """What `rondel sample` does: `(model, what was asked) -> None`."""
    eval_command: ClassVar[Part] = Part("rondel.cli.eval:evaluate_text")
    """What `rondel eval` does: `(model, what was asked) -> None`."""
    read_request: ClassVar[Part] = Part("rondel.serving.requests:read_prompts")
    """How a request for completions is read: `(service, served, body, settings) -> Asked`."""
    text_reader: ClassVar[Part] = Part("rondel.inspection.text_reader:OneWayReader")
    """How it reads a text that is traced: `(config) -> OneWayReader`."""
    show_sample: ClassVar[Part] = Part("rondel.training.callbacks.samples:written_text")
    """`(model folder's parts, seed, number) -> str`: what it writes by now, during its training."""

    def settings_types(self) -> Mapping[str, type]:
        """See `rondel.settings.component`."""
        types = {"model": self.model_settings, "training": self.training_settings}
        return {section: cls for section, cls in types.items() if cls is not None}

    def counted(self, facts: TextFacts) -> Mapping[str, Any]:
        """Settings of the model that are counted in its text and never given."""
        return {"vocab_size": facts.vocab_size}

    def arrays(self, config: ModelConfig) -> Arrays:
        """Name and shape of every array of such a model, one after the other."""
        return language_model_arrays(config)

    def loss_unit(self, token_noun: str) -> str:
        """What its losses are nats per: a token, as its tokenizer calls it, or something else."""
        return token_noun

    def loss_note(self, token_noun: str) -> str:
        """What a loss of it is, beside its figure."""
        return f"nats per {token_noun}"
