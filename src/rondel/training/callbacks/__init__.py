"""Callbacks, one a file: each listens to events of a run."""

from __future__ import annotations

from rondel.registry import Registry
from rondel.training.callbacks.base import Callback

callbacks: Registry[type[Callback]] = Registry("callback", "rondel.training.callbacks")

__all__ = ["Callback", "callbacks"]
