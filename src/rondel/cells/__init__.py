"""Recurrent cells, one a file: what their gates are and how they make the next state."""

from __future__ import annotations

import dataclasses

from rondel.cells.base import Array, Cell, State
from rondel.config import ModelConfig
from rondel.registry import Registry

cells: Registry[type[Cell]] = Registry("cell", "rondel.cells")


def build_cell(config: ModelConfig) -> Cell:
    """The cell that `config` names, with those of the configuration's fields that it has.

    A field that is still to be chosen is left as the cell has it.
    """
    cls = cells[config.cell]
    own = {field.name: getattr(config, field.name) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in own.items() if value is not None})


__all__ = ["Array", "Cell", "State", "build_cell", "cells"]
