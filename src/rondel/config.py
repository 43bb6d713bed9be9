"""The settings of a run, in three frozen dataclasses: text, model, training.

Each field says here, once, what it means, what it may be and what it defaults to. The command line
makes a flag of it, `run.toml` a line, and `rondel.train` a keyword. Precedence: defaults, then a
`--config` file, then flags. A field that is `None` is chosen later, by `training.defaults`, and
written down as chosen.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
import tomlkit.exceptions

from rondel.errors import InputError


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    flag: bool = True,
) -> Any:
    """A field with its help and its limits; `flag=False` keeps it off the command line."""
    metadata = {
        "help": help,
        "choices": choices,
        "at_least": at_least,
        "above": above,
        "below": below,
        "flag": flag,
    }
    return dataclasses.field(default=default, metadata=metadata)


class Section:
    """Checks every field of a settings dataclass against its limits as it is made."""

    def __post_init__(self) -> None:
        types_of = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            check(field, base_type(types_of[field.name]), getattr(self, field.name))


def base_type(annotation: Any) -> type:
    """The type of a setting's value, with `| None` taken off."""
    if isinstance(annotation, types.UnionType):
        annotation = next(arm for arm in typing.get_args(annotation) if arm is not type(None))
    return typing.cast(type, annotation)


def check(field: dataclasses.Field[Any], type_: type, value: Any) -> None:
    """Raise `InputError`, naming the flag, if `value` is not one that `field` may have."""
    if value is None:
        return
    limits, flag = field.metadata, flag_name(field.name)
    good = isinstance(value, (int, float) if type_ is float else type_)
    if not good or (type_ is not bool and isinstance(value, bool)):
        raise InputError(f"{flag} takes a value of type {type_.__name__}, not {value!r}")
    if limits["choices"] and value not in limits["choices"]:
        raise InputError(f"{flag} is one of {', '.join(limits['choices'])}, not {value!r}")
    if type_ is float and not abs(value) <= sys.float_info.max:
        raise InputError(f"{flag} must be a finite number, not {value}")
    if limits["at_least"] is not None and value < limits["at_least"]:
        raise InputError(f"{flag} must be at least {limits['at_least']}, not {value}")
    if limits["above"] is not None and value <= limits["above"]:
        raise InputError(f"{flag} must be more than {limits['above']}, not {value}")
    if limits["below"] is not None and value >= limits["below"]:
        raise InputError(f"{flag} must be less than {limits['below']}, not {value}")


def flag_name(field_name: str) -> str:
    """`seq_length` -> `--seq-length`."""
    return "--" + field_name.replace("_", "-")


@dataclass(frozen=True)
class TextConfig(Section):
    """How text becomes tokens, and which part of it is for what."""

    level: str = setting("char", "what a token is")
    charset: str = setting(
        "text",
        "char level: every character of the text, or the 128 of ASCII",
        choices=("text", "ascii"),
    )
    word_split: str = setting(
        "punctuation",
        "word level: split on words and punctuation, or on spaces as written",
        choices=("punctuation", "spaces"),
    )
    vocab_size: int = setting(
        10_000,
        "word level: how many of the commonest words to keep; the rest are <unk>",
        at_least=1,
    )
    min_count: int | None = setting(
        None,
        "word level: words that come less often are <unk>, so that the model learns what to make "
        "of a word it does not know (left out: 2)",
        at_least=1,
    )
    lowercase: bool = setting(False, "word level: lower-case the text")
    sentences: str = setting(
        "lines", "what --max-sentence-length counts as one sentence", choices=("lines", "prose")
    )
    max_sentence_length: int | None = setting(
        None, "word level: drop sentences of more words than this", at_least=1
    )
    encoding: str = setting("utf-8", "encoding of the text files")
    validation_fraction: float = setting(
        0.1, "fraction of the text, from its end, that validates", at_least=0, below=1
    )
    test_fraction: float = setting(
        0.0, "fraction of the text, after validation, kept for a test", at_least=0, below=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_fraction + self.test_fraction >= 1:
            raise InputError(
                "--validation-fraction and --test-fraction leave nothing to train on; lower them"
            )
        if self.max_sentence_length is not None and self.level != "word":
            raise InputError(
                "--max-sentence-length counts words: it needs --level word "
                "(to cut long texts at any level, use --seq-length)"
            )


LATENT_SIZE = 32
CHOSEN = "left out: chosen for the text and for what the machine can do in the --minutes"


# What a sentence VAE has when nothing else is said: enough not to collapse.
ANNEALING, DROPPED_WORDS, FREE_BITS = 2000, 0.2, 0.2
OF_SENTENCE_VAES = "sentence VAE: "


def refuse_of_other_models(settings: Section, model: str) -> None:
    """Raise `InputError` for a setting that says something of a kind of model that this is not."""
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        own = field.metadata["help"].startswith(OF_SENTENCE_VAES)
        if own and model != "sentence-vae" and getattr(settings, field.name) is not None:
            raise InputError(
                f"{flag_name(field.name)} is for --model sentence-vae, and this is a {model}; "
                "leave it out"
            )


@dataclass(frozen=True)
class ModelConfig(Section):
    """The shape of a model: with the tokenizer and the weights, all that it takes to run one."""

    model: str = setting(
        "language-model",
        "what kind of model: one that predicts from what stands before, or from both sides, or one "
        "that turns sentences into points of a space and back",
        choices=("language-model", "bidirectional", "sentence-vae"),
    )
    cell: str = setting("lstm", "recurrent cell")
    nonlinearity: str = setting("tanh", "cell rnn: its activation", choices=("tanh", "relu"))
    # Typed as what they are from the moment a run begins.
    num_layers: int = setting(None, f"recurrent layers ({CHOSEN}, else 1)", at_least=1)
    hidden_size: int = setting(None, f"units in a layer ({CHOSEN}, else 256)", at_least=1)
    embedding_size: int | None = setting(
        None, "size of a token's vector; 0 for one-hot input", at_least=0
    )
    dropout: float | None = setting(
        None,
        "probability of dropping an output of a layer, not of the recurrence "
        "(left out: at word level 0.65 for a text of fewer than 100,000 words and 0.3 for a longer "
        "one, else 0)",
        at_least=0,
        below=1,
    )
    embedding_dropout: float | None = setting(
        None,
        "probability of dropping an element of the embedding "
        "(left out: as --dropout at word level, else 0)",
        at_least=0,
        below=1,
    )
    variational: bool | None = setting(
        None, "one dropout mask for all steps of a sequence (left out: at word level)"
    )
    tie_weights: bool | None = setting(
        None,
        "use the embedding as the output matrix too (left out: at word level, unless "
        "--embedding-size, --word-vectors or --freeze-embedding says what the embedding is)",
    )
    forget_bias: float | None = setting(
        None, "cell lstm: the forget gate's bias at the start (left out: 1 at word level, else 0)"
    )
    latent_size: int | None = setting(
        None, f"sentence VAE: numbers of a point of its space (left out: {LATENT_SIZE})", at_least=1
    )
    encoder_cell: str | None = setting(None, "sentence VAE: the encoder's (left out: --cell)")
    encoder_layers: int | None = setting(
        None, "sentence VAE: the encoder's (left out: --num-layers)", at_least=1
    )
    encoder_hidden_size: int | None = setting(
        None, "sentence VAE: units in a layer of its encoder (left out: --hidden-size)", at_least=1
    )
    encoder_bidirectional: bool | None = setting(
        None, "sentence VAE: a second encoder reads each sentence from its end"
    )
    latent_input: bool | None = setting(
        None, "sentence VAE: the point joins every input of the decoder, not only its first state"
    )
    vocab_size: int = setting(0, "tokens known, set by the tokenizer", at_least=0, flag=False)
    longest_sentence: int | None = setting(
        None, "sentence VAE: the most tokens of a sentence, set by the text", flag=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_of_other_models(self, self.model)
        sizes = (None, self.hidden_size)
        if self.tie_weights and self.hidden_size is not None and self.embedding_size not in sizes:
            raise InputError(
                "--tie-weights needs --embedding-size equal to --hidden-size "
                f"({self.hidden_size}), not {self.embedding_size}"
            )

    @property
    def is_bidirectional(self) -> bool:
        """Whether it reads a text from both sides."""
        return self.model == "bidirectional"

    @property
    def is_sentence_vae(self) -> bool:
        """Whether it reads and writes whole sentences."""
        return self.model == "sentence-vae"

    def loss_unit(self, token: str) -> str:
        """What its losses are nats per: a token, as its tokenizer calls it, or a sentence."""
        return "sentence" if self.is_sentence_vae else token

    @property
    def loss_name(self) -> str:
        """What its losses are called, so that none passes for one of another kind."""
        if self.is_sentence_vae:
            return "negative ELBO"
        return "cloze loss" if self.is_bidirectional else "loss"


@dataclass(frozen=True)
class TrainingConfig(Section):
    """How a model is trained: batches, optimiser, schedule, when to stop, what to show."""

    backend: str = setting(
        "torch", "PyTorch, or the plain NumPy reference", choices=("torch", "numpy")
    )
    batch_size: int | None = setting(
        None,
        "parallel streams of text (left out: 32, 8 at word level, 25 with --backend numpy)",
        at_least=1,
    )
    seq_length: int = setting(64, "steps of truncated backpropagation (k1 = k2)", at_least=1)
    optimizer: str | None = setting(
        None,
        "optimiser (left out: adam, or rmsprop with --backend numpy)",
        choices=("sgd", "rmsprop", "adam", "adamw"),
    )
    learning_rate: float | None = setting(None, "learning rate at its highest", above=0)
    momentum: float = setting(0.9, "optimiser sgd: momentum", at_least=0, below=1)
    rho: float = setting(
        0.95, "optimiser rmsprop: decay of the squared gradient", at_least=0, below=1
    )
    weight_decay: float = setting(0.0, "weight decay", at_least=0)
    schedule: str = setting(
        "cosine",
        "how the learning rate changes",
        choices=("constant", "exponential", "cosine", "one-cycle", "plateau"),
    )
    decay: float = setting(
        0.97, "schedules exponential (per epoch) and plateau: factor of decay", above=0
    )
    decay_after: int = setting(
        10, "schedule exponential: epochs at the full rate, before the decay", at_least=1
    )
    plateau_patience: int = setting(
        2, "schedule plateau: validations without progress before a decay", at_least=1
    )
    clip_norm: float = setting(1.0, "clip gradients to this norm; 0 for no limit", at_least=0)
    clip_value: float = setting(0.0, "clip each gradient to ± this; 0 for no limit", at_least=0)
    epochs: float | None = setting(None, "stop after so many passes over the text", above=0)
    steps: int | None = setting(None, "stop after so many steps", at_least=1)
    minutes: float | None = setting(
        None, "stop after so long; the schedule follows the clock", above=0
    )
    early_stopping: int | None = setting(
        None, "stop after so many validations without progress", at_least=1
    )
    eval_every: int | None = setting(None, "steps between validations", at_least=1)
    sample_every: int | None = setting(
        None, "steps between samples shown; 0 for none (left out: with each validation)", at_least=0
    )
    freeze_embedding: bool = setting(False, "leave the embedding as it was at the start")
    seed: int = setting(1, "seed of everything random", at_least=0, below=2**63)
    device: str = setting("auto", "where to train", choices=("auto", "cpu", "cuda", "mps"))
    kl_annealing: str | None = setting(
        None,
        "sentence VAE: how the weight of the KL term rises to --beta (left out: linear; Bowman et "
        "al. 2016; cyclical: Fu et al. 2019)",
        choices=("none", "linear", "logistic", "cyclical"),
    )
    kl_annealing_steps: int | None = setting(
        None, f"sentence VAE: steps of that rise, or of a cycle (left out: {ANNEALING})", at_least=1
    )
    beta: float | None = setting(
        None, "sentence VAE: weight of the KL term after that (left out: 1)", at_least=0
    )
    word_dropout: float | None = setting(
        None,
        "sentence VAE: probability that the decoder is not told a token it wrote (left out: "
        f"{DROPPED_WORDS:g}; Bowman et al. 2016)",
        at_least=0,
        below=1,
    )
    free_bits: float | None = setting(
        None,
        "sentence VAE: nats that each number of a point may tell of a sentence for nothing (left "
        f"out: {FREE_BITS:g}; Kingma et al. 2016)",
        at_least=0,
    )
    aggressive: bool | None = setting(
        None,
        "sentence VAE: train the encoder ahead of the decoder at first, for as long as points tell "
        "more and more of their sentences (He et al. 2019)",
    )
    iw_samples: int | None = setting(
        None,
        "sentence VAE: points drawn for a sentence to tell its importance-weighted likelihood at "
        "each validation (left out: none; Burda et al. 2016)",
        at_least=1,
    )
    precision: str = setting(
        "fp32", "arithmetic: full, or autocast to 16 bits", choices=("fp32", "bf16", "fp16")
    )
    threads: int | None = setting(None, "CPU threads", at_least=1)


@dataclass(frozen=True)
class RunConfig:
    """All the settings of a run, as `run.toml` holds them."""

    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def updated(self, **settings: Any) -> RunConfig:
        """A copy with `settings` (field names of any section) changed; `InputError` if unknown."""
        sections = {}
        known: set[str] = set()
        for name, section in self.sections().items():
            fields = {field.name for field in dataclasses.fields(section) if field.metadata["flag"]}
            changed = {key: value for key, value in settings.items() if key in fields}
            sections[name] = dataclasses.replace(section, **changed)
            known |= fields
        unknown = sorted(set(settings) - known)
        if unknown:
            raise InputError(f"no setting is called {unknown[0]!r}; see rondel train --help")
        return RunConfig(**sections)

    def sections(self) -> dict[str, Any]:
        """The three sections by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to_toml(self) -> str:
        """Every setting with its meaning, for people; `None` stands as a commented-out line."""
        document = tomlkit.document()
        for name, section in self.sections().items():
            table = tomlkit.table()
            for field in dataclasses.fields(section):
                value = getattr(section, field.name)
                if value is None:
                    table.add(tomlkit.comment(f"{field.name} =   # {field.metadata['help']}"))
                else:
                    entry = tomlkit.item(value)
                    table.add(field.name, entry.comment(field.metadata["help"]))
            document.add(name, table)
        return tomlkit.dumps(document)


S = TypeVar("S", bound=Section)


def from_mapping(cls: type[S], values: dict[str, Any], where: str) -> S:
    """Build one section from plain values; `InputError` says what is wrong and `where` it is."""
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise InputError(f"{where}: no setting is called {key!r}; remove that line")
    try:
        return cls(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def read_toml(path: Path) -> RunConfig:
    """Read a `run.toml`; sections and keys left out keep their defaults.

    Raises `InputError` if the file is not TOML or has a section or key that rondel does not know.
    """
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such settings file; check the name") from None
    except RecursionError:
        raise InputError(f"{path} is not a TOML file: it is nested too deep") from None
    except (tomlkit.exceptions.TOMLKitError, ValueError) as error:
        raise InputError(f"{path} is not a TOML file: {error}") from None
    classes = {"text": TextConfig, "model": ModelConfig, "training": TrainingConfig}
    sections: dict[str, Any] = {}
    for name, values in document.items():
        if name not in classes or not isinstance(values, dict):
            raise InputError(f"{path}: {name!r} is not one of the sections text, model, training")
        sections[name] = from_mapping(classes[name], values, f"{path} [{name}]")
    return RunConfig(**sections)
