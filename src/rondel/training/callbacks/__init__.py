"""What watches a run: each callback in a file, told of the events it listens to."""

from __future__ import annotations

from rondel.registry import Registry
from rondel.training.callbacks.base import Callback

callbacks: Registry[type[Callback]] = Registry("callback", "rondel.training.callbacks")

__all__ = ["Callback", "callbacks"]
