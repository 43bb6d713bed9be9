"""Running a trained model on the CPU without PyTorch: steps and sequences, state in and out."""

from __future__ import annotations

from rondel.engine.base import Engine, EngineState
from rondel.engine.numpy_engine import NumpyEngine

__all__ = ["Engine", "EngineState", "NumpyEngine"]
