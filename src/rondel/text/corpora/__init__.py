"""Corpora, one a file: texts that are always here, and texts that are fetched once."""

from __future__ import annotations

from rondel.registry import Registry
from rondel.text.corpora.base import Corpus

corpora: Registry[Corpus] = Registry("corpus", "rondel.text.corpora")

__all__ = ["Corpus", "corpora"]
