"""Recurrent language models in plain NumPy; read `cells`, then `model`, then `train`."""

from rondel.reference.cells import make_cell
from rondel.reference.model import Model, initial_parameters
from rondel.reference.training_loop import RMSprop, clip_by_norm, clip_by_value

__all__ = ["Model", "RMSprop", "clip_by_norm", "clip_by_value", "initial_parameters", "make_cell"]
