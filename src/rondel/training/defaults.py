"""Settings that depend on other settings: each `None` becomes a value before a run begins."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from rondel.cells import cells
from rondel.config import (
    ANNEALING,
    DROPPED_WORDS,
    FREE_BITS,
    LATENT_SIZE,
    ModelConfig,
    RunConfig,
    TextConfig,
    TrainingConfig,
    refuse_of_other_models,
)
from rondel.errors import InputError
from rondel.text.tokenizers import tokenizers
from rondel.training.sizing import Size

T = TypeVar("T")

NUM_LAYERS, HIDDEN_SIZE = 1, 256
DEFAULT_MINUTES = 10.0
VALIDATIONS_A_RUN = 20

# A text has few words for how many parameters they take: small batches make the most of them, and
# a model that is not held back learns them by heart, a short text's within minutes.
WORD_BATCH_SIZE = 8
SHORT_TEXT, SHORT_TEXT_DROPOUT, WORD_DROPOUT = 100_000, 0.65, 0.3
# A word that comes once teaches little but this: what a word is like that is not known.
WORD_MIN_COUNT = 2
# A forget gate that starts open remembers longer, and learns characters more slowly: compare
# rondel train --corpus tinyshakespeare --steps 1500 --threads 1 with --forget-bias 1 and 0.
WORD_FORGET_BIAS, FORGET_BIAS = 1.0, 0.0
# The sentences of the published settings are no longer (Bowman et al. 2016).
LONGEST_SENTENCE = 60
BATCH_SIZES = {"torch": 32, "numpy": 25}
OPTIMIZERS = {"torch": "adam", "numpy": "rmsprop"}
LEARNING_RATES = {"sgd": 0.5, "rmsprop": 2e-3, "adam": 4e-3, "adamw": 4e-3}

# What the NumPy reference is: the classic character RNN, and nothing beyond it.
REFERENCE_CELLS = ("rnn", "gru", "lstm")
REFERENCE_ONLY: dict[str, Any] = {
    "model": "language-model",
    "optimizer": "rmsprop",
    "weight_decay": 0.0,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "precision": "fp32",
    "freeze_embedding": False,
}


def resolve(config: RunConfig) -> RunConfig:
    """Fill in what was left to choose, but for what the text decides.

    That is for `resolve_dropout` and `resolve_intervals`.

    Raises `InputError` for settings that the chosen backend does not have.
    """
    # Looked up only so that an unknown name is refused here, before any work is done.
    cells[config.model.cell], tokenizers[config.text.level]
    resolved = RunConfig(_resolve_text(config), _resolve_model(config), _resolve_training(config))
    refuse_of_other_models(config.training, config.model.model)
    if config.training.backend == "numpy":
        _refuse_beyond_reference(resolved)
    if config.training.freeze_embedding and not resolved.model.embedding_size:
        raise InputError(
            "one-hot input has no embedding to freeze; leave --freeze-embedding out, or give it "
            "an --embedding-size"
        )
    return resolved


def _resolve_text(config: RunConfig) -> TextConfig:
    text, at_word = config.text, config.text.level == "word"
    if config.model.is_sentence_vae and at_word and text.max_sentence_length is None:
        text = dataclasses.replace(text, max_sentence_length=LONGEST_SENTENCE)
    default = WORD_MIN_COUNT if at_word else None
    return dataclasses.replace(text, min_count=_first(text.min_count, default))


def _resolve_model(config: RunConfig) -> ModelConfig:
    model, training = config.model, config.training
    model = dataclasses.replace(
        model,
        num_layers=_first(model.num_layers, NUM_LAYERS),
        hidden_size=_first(model.hidden_size, HIDDEN_SIZE),
    )
    at_word = _is_torch_at_word_level(config)
    free = model.embedding_size is None and not training.freeze_embedding
    tied = _first(model.tie_weights, at_word and free)
    if training.backend == "numpy" and not tied:
        size = 0
    else:
        wide = config.text.level == "word" or tied
        size = model.hidden_size if wide else min(64, model.hidden_size)
    if model.is_sentence_vae:
        model = dataclasses.replace(model, latent_size=_first(model.latent_size, LATENT_SIZE))
        if model.encoder_cell is not None:
            cells[model.encoder_cell]
    return dataclasses.replace(
        model,
        embedding_size=_first(model.embedding_size, size),
        dropout=_first(model.dropout, None if at_word else 0.0),
        embedding_dropout=_first(model.embedding_dropout, None if at_word else 0.0),
        variational=_first(model.variational, at_word),
        tie_weights=tied,
        forget_bias=_first(
            model.forget_bias, WORD_FORGET_BIAS if config.text.level == "word" else FORGET_BIAS
        ),
    )


def _first(given: T | None, default: T) -> T:
    return default if given is None else given


def _is_torch_at_word_level(config: RunConfig) -> bool:
    return config.text.level == "word" and config.training.backend == "torch"


def _resolve_training(config: RunConfig) -> TrainingConfig:
    training = config.training
    chosen: dict[str, Any] = {}
    if training.batch_size is None:
        at_word = _is_torch_at_word_level(config)
        few = at_word and not config.model.is_sentence_vae
        chosen["batch_size"] = WORD_BATCH_SIZE if few else BATCH_SIZES[training.backend]
    if config.model.is_sentence_vae:
        chosen |= {
            "kl_annealing": _first(training.kl_annealing, "linear"),
            "kl_annealing_steps": _first(training.kl_annealing_steps, ANNEALING),
            "beta": _first(training.beta, 1.0),
            "word_dropout": _first(training.word_dropout, DROPPED_WORDS),
            "free_bits": _first(training.free_bits, FREE_BITS),
            "aggressive": _first(training.aggressive, False),
        }
    optimizer = chosen["optimizer"] = training.optimizer or OPTIMIZERS[training.backend]
    if training.learning_rate is None:
        chosen["learning_rate"] = LEARNING_RATES[optimizer]
    if training.epochs is None and training.steps is None and training.minutes is None:
        chosen["minutes"] = DEFAULT_MINUTES
    return dataclasses.replace(training, **chosen)


def minutes_to_fill(config: RunConfig) -> float | None:
    """How long a run is to be the best that it can be; None if its size is not to be chosen.

    The settings are as they were given. Word models, of which a short text is no measure, keep to
    one size; and so does what is told any part of its size.
    """
    model, training = config.model, config.training
    told = (model.num_layers, model.hidden_size, model.dropout, model.embedding_size)
    if (
        any(part is not None for part in told)
        or model.tie_weights
        or model.model != "language-model"
    ):
        return None
    if training.backend != "torch" or config.text.level == "word" or training.freeze_embedding:
        return None
    if training.epochs is not None or training.steps is not None:
        return None
    return _first(training.minutes, DEFAULT_MINUTES)


def resolve_size(config: RunConfig, size: Size) -> RunConfig:
    """The settings as given, with what was chosen for them, but for what they say themselves."""
    chosen, training = size.settings(), config.training
    if training.batch_size is not None:
        del chosen["batch_size"]
    if training.learning_rate is not None or training.optimizer not in (None, "adam", "adamw"):
        del chosen["learning_rate"]
    return config.updated(**chosen)


def resolve_dropout(config: RunConfig, tokens: int) -> RunConfig:
    """Choose what is dropped once it is known how many tokens there are to train on."""
    model = config.model
    dropout = _first(model.dropout, SHORT_TEXT_DROPOUT if tokens < SHORT_TEXT else WORD_DROPOUT)
    embedding_dropout = _first(model.embedding_dropout, dropout)
    chosen = dataclasses.replace(model, dropout=dropout, embedding_dropout=embedding_dropout)
    return dataclasses.replace(config, model=chosen)


def resolve_intervals(config: RunConfig, steps_per_epoch: int) -> RunConfig:
    """Choose the steps between validations once the text's size is known.

    A run measured by the clock keeps `None`: it validates by the clock as well.
    """
    training = config.training
    if training.eval_every is not None or (training.epochs is None and training.steps is None):
        return config
    totals = []
    if training.epochs is not None:
        totals.append(training.epochs * steps_per_epoch)
    if training.steps is not None:
        totals.append(training.steps)
    every = max(1, round(min(totals) / VALIDATIONS_A_RUN))
    return dataclasses.replace(config, training=dataclasses.replace(training, eval_every=every))


def _refuse_beyond_reference(config: RunConfig) -> None:
    if config.model.cell not in REFERENCE_CELLS:
        raise InputError(
            f"--backend numpy has no cell {config.model.cell}; it has {', '.join(REFERENCE_CELLS)}"
        )
    settings = {**dataclasses.asdict(config.model), **dataclasses.asdict(config.training)}
    for name, only in REFERENCE_ONLY.items():
        if settings[name] != only:
            raise InputError(
                f"--backend numpy is the plain reference and has only {name} = {only!r}; "
                "leave that flag out, or use --backend torch"
            )
    if settings["device"] not in ("auto", "cpu"):
        raise InputError("--backend numpy runs on the CPU only; leave --device out")
