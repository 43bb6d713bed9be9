"""The settings that a run uses: three frozen records, for its text, its model and its training.

Each has the settings of every run as fields, and in `own` those of its components (its cell, its
tokenizer …), by name. Each setting is a flag of the command line, a line in `run.toml`, and a
keyword of `rondel.train`. `rondel.training.resolve` makes the records from the given settings;
where `None` is allowed, it means no limit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rondel.errors import InputError
from rondel.settings.fields import check, setting, settings_of, types_of
from rondel.threads import MOST_THREADS

CELLS, KINDS = "rondel.cells:cells", "rondel.kinds:kinds"
SOFTMAXES = "rondel.softmaxes:softmaxes"
LEVELS = "rondel.text.tokenizers:tokenizers"
OPTIMIZERS, SCHEDULES = (
    "rondel.training.optimizers:optimizers",
    "rondel.training.schedules:schedules",
)
SIZE = "default: chosen for the text and the machine's speed within --minutes"


@dataclass(frozen=True)
class Section:
    """Checks every field against its limits. `own` has the components' settings, by name."""

    own: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False, kw_only=True)

    def __post_init__(self) -> None:
        types = types_of(type(self))
        for name, field in settings_of(type(self)).items():
            value = getattr(self, name)
            # In files of earlier versions, a setting without a value is null.
            value = field.default if value is None else check(field, types[name], value)
            object.__setattr__(self, name, value)

    def flat(self) -> dict[str, Any]:
        """Every setting by name, including the components', as in files."""
        values = {name: getattr(self, name) for name in settings_of(type(self))}
        return {**values, **self.own}


@dataclass(frozen=True)
class TextConfig(Section):
    """How a text is tokenised and split for training, validation and test."""

    level: str = setting("char", "what a token is", registry=LEVELS)
    sentences: str = setting(
        "lines", "what --max-sentence-length counts as one sentence", choices=("lines", "prose")
    )
    max_sentence_length: int | None = setting(
        None, "drop sentences of more words than this (levels of words)", at_least=1
    )
    encoding: str = setting("utf-8", "encoding of the text files")
    field: str | None = setting(None, "JSON Lines: the field of each record that is its text")
    column: str | None = setting(
        None, "CSV, TSV, Parquet and Arrow: the column that is the text of each record"
    )
    documents: str | None = setting(
        None,
        "where documents begin; the state is reset at each (default: nowhere)",
        choices=("file", "record", "blank-line"),
    )
    validation_fraction: float = setting(
        0.1, "fraction of the text, at its end, for validation", at_least=0, below=1
    )
    test_fraction: float = setting(
        0.0, "fraction of the text, after the validation split, for a test", at_least=0, below=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_fraction + self.test_fraction >= 1:
            raise InputError(
                "--validation-fraction and --test-fraction leave nothing to train on; lower them"
            )


@dataclass(frozen=True)
class ModelConfig(Section):
    """The shape of a model: all that is needed to run it, with the tokenizer and the weights."""

    model: str = setting(
        "language-model",
        "kind of model: predicts each token from those before it, or from both sides, or encodes "
        "sentences as points of a latent space",
        registry=KINDS,
    )
    cell: str = setting("lstm", "recurrent cell", registry=CELLS)
    num_layers: int = setting(
        1, f"recurrent layers ({SIZE}, else 1)", at_least=1, below=1001, chosen=True
    )
    hidden_size: int = setting(256, f"units in a layer ({SIZE}, else 256)", at_least=1, chosen=True)
    embedding_size: int = setting(
        0, "size of a token's vector; 0 for one-hot input", at_least=0, chosen=True
    )
    dropout: float = setting(
        0.0,
        "probability of dropping an output of a layer, not of the recurrence "
        "(default: for words and subwords 0.65 with a text of fewer than 100,000 of them and 0.3 "
        "with a longer one, else chosen with the size, or 0 where the size is not chosen)",
        at_least=0,
        below=1,
        chosen=True,
    )
    embedding_dropout: float = setting(
        0.0,
        "probability of dropping an element of the embedding "
        "(default: as --dropout for words and subwords, else 0)",
        at_least=0,
        below=1,
        chosen=True,
    )
    variational: bool = setting(
        False,
        "one dropout mask for all steps of a sequence (default: for words and subwords)",
        chosen=True,
    )
    tie_weights: bool = setting(
        False,
        "use the embedding as the output matrix too (default: for words and subwords, unless "
        "--embedding-size, --word-vectors or --freeze-embedding is given)",
        chosen=True,
    )
    softmax: str = setting(
        "full",
        "over all tokens at once, or with rare ones in clusters, which is faster for tens of "
        "thousands of words (Grave et al. 2017)",
        registry=SOFTMAXES,
    )
    vocab_size: int = setting(0, "number of tokens, set by the tokenizer", at_least=0, flag=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise InputError(
                "--tie-weights needs --embedding-size equal to --hidden-size "
                f"({self.hidden_size}), not {self.embedding_size}"
            )


@dataclass(frozen=True)
class TrainingConfig(Section):
    """How a model is trained: batches, optimiser, schedule, when to stop, what to print.

    >>> TrainingConfig(batch_size=8, steps=100).steps
    100
    """

    backend: str = setting(
        "torch", "PyTorch, or the plain NumPy reference", choices=("torch", "numpy")
    )
    batch_size: int = setting(
        32,
        "parallel streams of text (default: 32, 8 for words and subwords, 25 with --backend "
        "numpy; fewer for a short text)",
        at_least=1,
        chosen=True,
    )
    seq_length: int = setting(
        64,
        "steps of truncated backpropagation, k1 = k2 (default: 64; fewer for a short text)",
        at_least=1,
        chosen=True,
    )
    optimizer: str = setting(
        "adam",
        "optimiser (default: adam, or rmsprop with --backend numpy)",
        registry=OPTIMIZERS,
        chosen=True,
    )
    learning_rate: float = setting(
        4e-3,
        "highest learning rate (default: the optimiser's; with adam and adamw lower for a chosen "
        "size above 256)",
        above=0,
        chosen=True,
    )
    weight_decay: float = setting(0.0, "weight decay", at_least=0)
    schedule: str = setting("cosine", "how the learning rate changes", registry=SCHEDULES)
    clip_norm: float = setting(1.0, "clip gradients to this norm; 0 for no limit", at_least=0)
    clip_value: float = setting(0.0, "clip each gradient to ± this; 0 for no limit", at_least=0)
    epochs: float | None = setting(None, "stop after so many passes over the text", above=0)
    steps: int | None = setting(None, "stop after so many steps", at_least=1)
    minutes: float | None = setting(
        None, "stop after so long; the schedule follows the clock", above=0
    )
    early_stopping: int | None = setting(
        None,
        "stop after so many validations without improvement",
        at_least=1,
        idle_with=("validation_fraction", 0),
    )
    eval_every: int | None = setting(None, "steps between validations", at_least=1)
    sample_every: int | None = setting(
        None, "steps between samples shown; 0 for none (default: with each validation)", at_least=0
    )
    freeze_embedding: bool = setting(False, "do not train the embedding")
    shuffle_documents: bool = setting(
        False, "read the documents in another order each pass over the text"
    )
    seed: int = setting(1, "random seed", at_least=0, below=2**63)
    device: str = setting("auto", "where to train", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = setting(
        "fp32", "arithmetic: full, or autocast to 16 bits", choices=("fp32", "bf16", "fp16")
    )
    threads: int | None = setting(
        None, "CPU threads, of each process", at_least=1, below=MOST_THREADS + 1
    )
    exchange: str = setting(
        "full",
        "what processes that train together (torchrun) exchange: whole gradients, in 16 bits, of a "
        "low rank (PowerSGD; Vogels et al. 2019), or weights every --local-steps, between machines "
        "(post-local SGD; Lin et al. 2020)",
        choices=("full", "fp16", "powersgd", "local"),
    )
    full_steps: int = setting(
        1000, "steps with whole gradients before --exchange powersgd or local", at_least=2
    )
    powersgd_rank: int = setting(2, "rank of the gradients with --exchange powersgd", at_least=1)
    local_steps: int = setting(
        8, "steps from one average of the weights to the next with --exchange local", at_least=2
    )


@dataclass(frozen=True)
class RunConfig:
    """All the settings of a run, as `run.toml` holds them."""

    text: TextConfig
    model: ModelConfig
    training: TrainingConfig

    def sections(self) -> dict[str, Section]:
        """The three sections by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def flat(self) -> dict[str, Any]:
        """Every setting by name; `vocab_size` is the text's, not the model's."""
        return {**self.model.flat(), **self.text.flat(), **self.training.flat()}


SECTIONS: dict[str, type[Section]] = {
    "text": TextConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
}
