"""From the given settings to those of a run, with every default filled in.

`resolve` is a pure function of the given settings, of facts about the text and of the size chosen
for the machine. `resolve_text` comes before it, because the facts are known only once the text is
tokens.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, TypeVar

from rondel.cells import Cell, cells
from rondel.data.facts import TextFacts
from rondel.errors import InputError
from rondel.kinds import Kind, kinds
from rondel.settings import (
    ModelConfig,
    RunConfig,
    Settings,
    TextConfig,
    TrainingConfig,
    all_settings,
    build_section,
    flag_name,
)
from rondel.settings.catalogue import chosen_components, owners_in_words
from rondel.settings.sections import SECTIONS, Section
from rondel.softmaxes import softmaxes
from rondel.text.tokenizers import Tokenizer, tokenizers
from rondel.training.optimizers import optimizers
from rondel.training.sizing import Machine, Size, best_size

S = TypeVar("S", bound=Section)

USED_IN_EXCHANGE = {
    "full_steps": ("powersgd", "local"),
    "powersgd_rank": ("powersgd",),
    "local_steps": ("local",),
}
"""Settings that have an effect only with some choices of `--exchange`."""

DEFAULT_MINUTES = 10.0
VALIDATIONS_A_RUN = 20
LIMITS = ("epochs", "steps", "minutes")

# A text has few words for the number of parameters of a word model: small batches use them best,
# and without dropout the model overfits, on a short text within minutes.
WORD_BATCH_SIZE = 8
SHORT_TEXT, SHORT_TEXT_DROPOUT, WORD_DROPOUT = 100_000, 0.65, 0.3
EMBEDDING_SIZE = 64
BATCH_SIZES = {"torch": 32, "numpy": 25}
OPTIMIZERS = {"torch": "adam", "numpy": "rmsprop"}
# A text too short for a batch gets shorter sequences and then fewer streams, down to these.
SHORTEST_SEQUENCE = 8


class Choice(NamedTuple):
    """The components that the settings choose for a run, by name, and some of them as objects."""

    names: dict[str, str]
    kind: Kind
    tokenizer: type[Tokenizer]
    cells: tuple[type[Cell], ...]
    """The model's cell, and those of its parts that have another."""
    backend: str

    @property
    def at_word_level(self) -> bool:
        """Whether the defaults of word models apply."""
        return self.tokenizer.open_vocabulary and self.backend == "torch"


def choose(given: Settings) -> Choice:
    """Return the components of a run; `InputError` for a setting that has no effect with them."""
    kind = kinds[given.get("model", ModelConfig.model)]
    backend = given.get("backend", TrainingConfig.backend)
    names = {
        "level": given.get("level", kind.defaults.get("level", TextConfig.level)),
        "model": kind.name,
        "cell": given.get("cell", ModelConfig.cell),
        "softmax": given.get("softmax", ModelConfig.softmax),
        "optimizer": given.get("optimizer", OPTIMIZERS[backend]),
        "schedule": given.get("schedule", TrainingConfig.schedule),
    }
    components = list(chosen_components(given.fill(names)))
    in_use = tuple(cells[name] for selector, name, _ in components if selector == "cell")
    chosen = Choice(names, kind, tokenizers[names["level"]], in_use, backend)
    _refuse_softmax(given, chosen)
    _refuse_useless(given, chosen, {(selector, name) for selector, name, _ in components})
    return chosen


def _refuse_softmax(given: Settings, chosen: Choice) -> None:
    """Refuse a softmax that does not go with the kind of model, the vocabulary or tied weights."""
    name = chosen.names["softmax"]
    if softmaxes[name].is_linear:
        return
    if not chosen.kind.has_softmaxes:
        raise InputError(f"a {chosen.kind.noun} has no --softmax {name}; leave it out")
    if softmaxes[name].by_frequency and not chosen.tokenizer.commonest_first:
        levels = " or ".join(level for level, each in tokenizers.items() if each.commonest_first)
        raise InputError(
            f"--softmax {name} needs the commonest tokens first in the vocabulary: use --level "
            f"{levels}, or leave --softmax out"
        )
    if given.get("tie_weights"):
        raise InputError(f"--softmax {name} has no matrix to tie; leave --tie-weights out")


def _refuse_useless(given: Settings, chosen: Choice, running: set[tuple[str, str]]) -> None:
    """Raise `InputError` that names a given setting without effect in this run."""
    known, names = all_settings(), chosen.names
    for name in sorted(given.by_hand):
        owners, idle_with = known[name].owners, known[name].field.metadata["idle_with"]
        if owners and not running.intersection(owners):
            selector = owners[0][0]
            raise InputError(
                f"{flag_name(name)} is for {owners_in_words(owners)}, and this run has "
                f"{selector} {names[selector]}; leave it out"
            )
        if idle_with and given.get(idle_with[0]) == idle_with[1]:
            other = f"{flag_name(idle_with[0])} {idle_with[1]}"
            raise InputError(f"{flag_name(name)} has no effect with {other}; leave it out")
    for name, reason in _useless(given, chosen).items():
        if name in given.by_hand:
            raise InputError(f"{flag_name(name)} has no effect {reason}; leave it out")


def _useless(given: Settings, chosen: Choice) -> dict[str, str]:
    """Return the settings without effect in this run, with the reason."""
    useless = {}
    if chosen.tokenizer.reads_bytes:
        useless["encoding"] = "at a level that reads bytes"
    if "max_sentence_length" not in given and not chosen.kind.defaults.get("max_sentence_length"):
        useless["sentences"] = "without --max-sentence-length"
    if "documents" not in given:
        useless["shuffle_documents"] = "without --documents"
    exchange = given.get("exchange", TrainingConfig.exchange)
    for name, users in USED_IN_EXCHANGE.items():
        if exchange not in users:
            useless[name] = f"with --exchange {exchange}"
    return useless


def resolve_text(given: Settings) -> TextConfig:
    """Return the settings of how the text is read; `InputError` for contradictory settings."""
    chosen = choose(given)
    if chosen.tokenizer.whole_words:
        longest = chosen.kind.defaults.get("max_sentence_length")
        given = given.fill({"max_sentence_length": longest})
    elif "max_sentence_length" in given.by_hand:
        levels = " or ".join(name for name, each in tokenizers.items() if each.whole_words)
        raise InputError(
            f"--max-sentence-length counts words: it needs --level {levels} "
            "(to cut long texts at any level, use --seq-length)"
        )
    else:
        given = given.without("max_sentence_length")
    if "documents" in given and not (chosen.kind.reads_documents and chosen.backend == "torch"):
        raise InputError(
            f"--documents is for language models with --backend torch, and this run is a "
            f"{chosen.kind.noun} with --backend {chosen.backend}; leave it out"
        )
    if "documents" in given and given.get("max_sentence_length") is not None:
        raise InputError(
            "--documents and --max-sentence-length cannot be combined, because dropped sentences "
            "would shift the documents' boundaries; leave one out"
        )
    return _section(TextConfig, given, chosen)


def resolve(given: Settings, facts: TextFacts, size: Size | None = None) -> RunConfig:
    """Return the settings of a run; `size` is from `chosen_size`, or `None` if it is not chosen.

    Raises `InputError` for settings that the backend does not have.
    """
    chosen = choose(given)
    if size is not None:
        given = _sized(given, chosen, size)
    model = _resolve_model(given, chosen, facts)
    config = RunConfig(resolve_text(given), model, _resolve_training(given, chosen, facts))
    if chosen.backend == "numpy":
        from rondel.training.numpy_learner import refuse_beyond_reference

        refuse_beyond_reference(config)
    if config.training.freeze_embedding and not model.embedding_size:
        raise InputError(
            "one-hot input has no embedding to freeze; leave --freeze-embedding out, or give it "
            "an --embedding-size"
        )
    return config


def _section(cls: type[S], given: Settings, chosen: Choice) -> S:
    """Build a section from the settings, including those of its components."""
    values, known = given.fill(chosen.names), all_settings()
    section = next(name for name, each in SECTIONS.items() if each is cls)
    own = {name: value for name, value in values.items() if known[name].section == section}
    return build_section(cls, own, values)


def _resolve_model(given: Settings, chosen: Choice, facts: TextFacts) -> ModelConfig:
    hidden_size = given.get("hidden_size", ModelConfig.hidden_size)
    at_word = chosen.at_word_level
    free = "embedding_size" not in given and not given.get("freeze_embedding")
    linear = softmaxes[chosen.names["softmax"]].is_linear
    tied = given.get("tie_weights", at_word and free and linear)
    if chosen.backend == "numpy" and not tied:
        embedding_size = 0
    else:
        wide = chosen.tokenizer.open_vocabulary or tied
        embedding_size = hidden_size if wide else min(EMBEDDING_SIZE, hidden_size)
    few = SHORT_TEXT_DROPOUT if facts.train < SHORT_TEXT else WORD_DROPOUT
    dropout = given.get("dropout", few if at_word else 0.0)
    filled = given.fill(
        {
            "embedding_size": embedding_size,
            "dropout": dropout,
            "embedding_dropout": dropout if at_word else 0.0,
            "variational": at_word,
            "tie_weights": tied,
        }
    )
    for cell in chosen.cells:
        own = cell.chosen_settings(open_vocabulary=chosen.tokenizer.open_vocabulary)
        filled = filled.fill(own)
    model = _section(ModelConfig, filled, chosen)
    return build_section(ModelConfig, {**model.flat(), **chosen.kind.counted(facts)})


def _resolve_training(given: Settings, chosen: Choice, facts: TextFacts) -> TrainingConfig:
    usual = WORD_BATCH_SIZE if chosen.at_word_level else BATCH_SIZES[chosen.backend]
    filled = given.fill(
        {
            "batch_size": chosen.kind.defaults.get("batch_size", usual),
            "learning_rate": optimizers[chosen.names["optimizer"]].learning_rate,
        }
    )
    if not any(name in given for name in LIMITS):
        filled = filled.fill({"minutes": DEFAULT_MINUTES})
    training = _fitted(_section(TrainingConfig, filled, chosen), given, facts)
    return with_intervals(training, chosen.kind.steps_per_epoch(facts, training))


def _fitted(training: TrainingConfig, given: Settings, facts: TextFacts) -> TrainingConfig:
    """Shorten the sequences and reduce the streams for a text too short for a batch.

    Given settings are not changed.
    """
    if facts.sentences is not None:
        return training
    batch_size, seq_length = training.batch_size, training.seq_length
    parts = [part for part in (facts.validation, facts.test) if part]
    while "seq_length" not in given and seq_length > SHORTEST_SEQUENCE:
        if all(part > seq_length for part in (facts.train, *parts)):
            break
        seq_length //= 2
    while "batch_size" not in given and batch_size > 1:
        if facts.train > batch_size * seq_length:
            break
        batch_size //= 2
    return dataclasses.replace(training, batch_size=batch_size, seq_length=seq_length)


def with_intervals(training: TrainingConfig, steps_per_epoch: int) -> TrainingConfig:
    """Fill in the steps between validations, by the total number of steps.

    It stays `None` for a run limited by minutes alone, which also validates by the clock.
    """
    totals = []
    if training.epochs is not None:
        totals.append(training.epochs * steps_per_epoch)
    if training.steps is not None:
        totals.append(training.steps)
    if training.eval_every is not None or not totals:
        return training
    every = max(1, round(min(totals) / VALIDATIONS_A_RUN))
    return dataclasses.replace(training, eval_every=every)


def minutes_to_fill(given: Settings, chosen: Choice) -> float | None:
    """Return the minutes to choose the size for; None if the size is not to be chosen.

    It is not chosen for models of words and subwords, for the NumPy backend, or if a setting in
    `fixing`, tied weights or a frozen embedding is given; `_resolve_model` then has the defaults.
    """
    fixing = ("num_layers", "hidden_size", "dropout", "embedding_size", "epochs", "steps")
    if any(name in given for name in fixing):
        return None
    if given.get("tie_weights") or given.get("freeze_embedding") or not chosen.kind.is_sized:
        return None
    if chosen.backend != "torch" or chosen.tokenizer.open_vocabulary:
        return None
    minutes: float = given.get("minutes", DEFAULT_MINUTES)
    return minutes


def chosen_size(given: Settings, facts: TextFacts, machine: Machine) -> Size | None:
    """Return the size for the text, the minutes and the machine's speed, if it is to be chosen."""
    chosen = choose(given)
    minutes = minutes_to_fill(given, chosen)
    if minutes is None:
        return None
    operations = 60 * minutes * machine.operations_per_second
    return best_size(chosen.names["cell"], facts.train, facts.vocab_size, operations)


def _sized(given: Settings, chosen: Choice, size: Size) -> Settings:
    """Fill in the settings of the chosen size that were not given."""
    values = size.settings()
    if not optimizers[chosen.names["optimizer"]].is_like_adam:
        del values["learning_rate"]
    if not any(name in given for name in LIMITS):
        values["minutes"] = DEFAULT_MINUTES
    return given.fill(values)
