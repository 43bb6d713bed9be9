"""What can be trained: modules that turn a batch into named losses."""

from __future__ import annotations

from rondel.models.base import Model
from rondel.registry import Registry

models: Registry[type[Model]] = Registry("model", "rondel.models")

__all__ = ["Model", "models"]
