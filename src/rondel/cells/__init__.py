"""Recurrent cells, one file for each: their gates, and how they compute the next state."""

from __future__ import annotations

from rondel.cells.base import Array, Cell, State
from rondel.registry import Registry
from rondel.settings.fields import settings_of
from rondel.settings.sections import ModelConfig

cells: Registry[type[Cell]] = Registry("cell", "rondel.cells")


def build_cell(config: ModelConfig, name: str | None = None) -> Cell:
    """Build the cell that `config` names, or the one called `name`, with `config`'s settings."""
    cls = cells[name or config.cell]
    return cls(**{field: config.own[field] for field in settings_of(cls) if field in config.own})


__all__ = ["Array", "Cell", "State", "build_cell", "cells"]
