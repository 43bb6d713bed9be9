"""Corpora, one a file: built-in texts, and texts that are downloaded once."""

from __future__ import annotations

from rondel.registry import Registry
from rondel.text.corpora.base import Corpus

corpora: Registry[Corpus] = Registry("corpus", "rondel.text.corpora")

__all__ = ["Corpus", "corpora"]
