"""Formats that `rondel export` writes a model in, one a file."""

from __future__ import annotations

from rondel.exporters.base import Exporter
from rondel.registry import Registry

exporters: Registry[Exporter] = Registry("export format", "rondel.exporters")

__all__ = ["Exporter", "exporters"]
