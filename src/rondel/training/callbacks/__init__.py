"""What watches a run: each callback in a file, told of the events it listens to."""

from __future__ import annotations

from rondel.training.callbacks.base import Callback

__all__ = ["Callback"]
