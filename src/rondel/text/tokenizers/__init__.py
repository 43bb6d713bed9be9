"""Tokenizers, one a file: text to token ids and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rondel.errors import InputError, ModelFolderError
from rondel.registry import Registry
from rondel.settings.fields import settings_of
from rondel.settings.sections import TextConfig
from rondel.text.tokenizers.base import Cut, Decoder, Tokenizer

tokenizers: Registry[type[Tokenizer]] = Registry("level", "rondel.text.tokenizers")


def train_tokenizer(text: str, config: TextConfig) -> Tokenizer:
    """Train the tokenizer that `config.level` names on a text."""
    return tokenizers[config.level].train(text, tokenizer_settings(config))


def train_on_blocks(blocks: Iterable[bytes], config: TextConfig) -> Tokenizer:
    """Train it on the pieces of a text, in UTF-8; see `Tokenizer.train_from_utf8`."""
    return tokenizers[config.level].train_from_utf8(blocks, tokenizer_settings(config))


def tokenizer_settings(config: TextConfig) -> Any:
    """Return the settings of the tokenizer that `config.level` names, as its settings class."""
    cls = tokenizers[config.level].settings
    return cls(**{name: config.own[name] for name in settings_of(cls) if name in config.own})


def tokenizer_to_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return a tokenizer as JSON values, with its level unless the format is another tool's."""
    state = tokenizer.state()
    return state if tokenizer.known_by else {"level": tokenizer.level, **state}


def tokenizer_from_json(values: dict[str, Any]) -> Tokenizer:
    """Build the tokenizer that `tokenizer_to_json` wrote; `ModelFolderError` if it is invalid."""
    try:
        state = dict(values)
        for cls in tokenizers.values():
            if cls.known_by and cls.known_by in state:
                return cls.from_state(state)
        return tokenizers[state.pop("level")].from_state(state)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise ModelFolderError(f"it is not a tokenizer ({error!r}); copy it again") from None


__all__ = [
    "Cut",
    "Decoder",
    "Tokenizer",
    "tokenizer_from_json",
    "tokenizer_settings",
    "tokenizer_to_json",
    "tokenizers",
    "train_on_blocks",
    "train_tokenizer",
]
