"""The settings of a run as keyword arguments, for type checkers and editors.

`rondel train --help` explains each; `None` counts as not given. Pass a setting of another package
as `**{"its_name": value}`.
"""

from __future__ import annotations

from typing import TypedDict


class TextKeywords(TypedDict, total=False):
    """Settings of `rondel.prepare`, besides its files: how text becomes tokens."""

    level: str | None
    sentences: str | None
    max_sentence_length: int | None
    encoding: str | None
    field: str | None
    column: str | None
    documents: str | None
    validation_fraction: float | None
    test_fraction: float | None
    charset: str | None
    word_split: str | None
    vocab_size: int | None
    min_count: int | None
    lowercase: bool | None
    subword: str | None


class RunKeywords(TextKeywords, total=False):
    """Settings of `rondel.train`, besides its text; a run chooses those that are not given.

    ::

        rondel.train("book.txt", level="word", hidden_size=512, minutes=10)
    """

    # Model.
    model: str | None
    cell: str | None
    num_layers: int | None
    hidden_size: int | None
    embedding_size: int | None
    dropout: float | None
    embedding_dropout: float | None
    variational: bool | None
    tie_weights: bool | None
    softmax: str | None
    latent_size: int | None
    encoder_cell: str | None
    encoder_layers: int | None
    encoder_hidden_size: int | None
    encoder_bidirectional: bool | None
    latent_input: bool | None
    cutoffs: str | None
    forget_bias: float | None
    nonlinearity: str | None
    # Training.
    backend: str | None
    batch_size: int | None
    seq_length: int | None
    optimizer: str | None
    learning_rate: float | None
    weight_decay: float | None
    schedule: str | None
    clip_norm: float | None
    clip_value: float | None
    epochs: float | None
    steps: int | None
    minutes: float | None
    early_stopping: int | None
    eval_every: int | None
    sample_every: int | None
    freeze_embedding: bool | None
    shuffle_documents: bool | None
    seed: int | None
    device: str | None
    precision: str | None
    threads: int | None
    exchange: str | None
    full_steps: int | None
    powersgd_rank: int | None
    local_steps: int | None
    kl_annealing: str | None
    kl_annealing_steps: int | None
    beta: float | None
    word_dropout: float | None
    free_bits: float | None
    aggressive: bool | None
    iw_samples: int | None
    rho: float | None
    momentum: float | None
    decay: float | None
    decay_after: int | None
    plateau_patience: int | None


class ResumeKeywords(TypedDict, total=False):
    """Settings that a resumed run may change: when it stops, where it runs, and what it shows."""

    epochs: float | None
    steps: int | None
    minutes: float | None
    early_stopping: int | None
    eval_every: int | None
    sample_every: int | None
    device: str | None
    threads: int | None
    exchange: str | None
    full_steps: int | None
    powersgd_rank: int | None
    local_steps: int | None
