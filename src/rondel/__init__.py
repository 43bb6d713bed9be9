"""rondel: train recurrent language models on your own text, and put them to work.

>>> import rondel                                            # doctest: +SKIP
>>> model = rondel.train("book.txt", minutes=2)              # doctest: +SKIP
>>> print(model.sample("The ", length=300))                  # doctest: +SKIP
>>> model.save("runs/book")                                  # doctest: +SKIP
>>> model = rondel.load("runs/book")                         # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rondel.api.base import Model
    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.language_model import LanguageModel
    from rondel.api.load import load
    from rondel.api.preparing import prepare
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.api.training import resume, train
    from rondel.errors import (
        InputError,
        MissingExtraError,
        ModelFolderError,
        NonFiniteLossError,
        RondelError,
        WrongKindError,
    )
    from rondel.evaluation.cache import Cache
    from rondel.evaluation.dynamic_settings import DynamicSettings
    from rondel.evaluation.evaluate import Evaluation
    from rondel.evaluation.rescoring import Hypothesis
    from rondel.evaluation.scoring import ScoringSettings
    from rondel.evaluation.text_sources import RunSplit, TextFiles
    from rondel.generation.listing import SampleList
    from rondel.generation.saved_state import State
    from rondel.inspection.features import Feature
    from rondel.inspection.trace import Trace, Unit
    from rondel.settings.given import Settings
    from rondel.training.callbacks import Callback

__version__ = "0.1.0"
__all__ = [
    "BidirectionalModel",
    "Cache",
    "Callback",
    "DynamicSettings",
    "Evaluation",
    "Feature",
    "Hypothesis",
    "InputError",
    "LanguageModel",
    "MissingExtraError",
    "Model",
    "ModelFolderError",
    "NonFiniteLossError",
    "RondelError",
    "RunSplit",
    "SampleList",
    "ScoringSettings",
    "SentenceVAE",
    "Settings",
    "State",
    "TextFiles",
    "Trace",
    "Unit",
    "WrongKindError",
    "__version__",
    "load",
    "prepare",
    "resume",
    "train",
]
_HOMES = {
    "BidirectionalModel": "rondel.api.bidirectional",
    "Cache": "rondel.evaluation.cache",
    "Callback": "rondel.training.callbacks",
    "DynamicSettings": "rondel.evaluation.dynamic_settings",
    "Evaluation": "rondel.evaluation.evaluate",
    "Feature": "rondel.inspection.features",
    "Hypothesis": "rondel.evaluation.rescoring",
    "InputError": "rondel.errors",
    "LanguageModel": "rondel.api.language_model",
    "MissingExtraError": "rondel.errors",
    "Model": "rondel.api.base",
    "ModelFolderError": "rondel.errors",
    "NonFiniteLossError": "rondel.errors",
    "RondelError": "rondel.errors",
    "RunSplit": "rondel.evaluation.text_sources",
    "SampleList": "rondel.generation.listing",
    "ScoringSettings": "rondel.evaluation.scoring",
    "SentenceVAE": "rondel.api.sentence_vae",
    "Settings": "rondel.settings.given",
    "State": "rondel.generation.saved_state",
    "TextFiles": "rondel.evaluation.text_sources",
    "Trace": "rondel.inspection.trace",
    "Unit": "rondel.inspection.trace",
    "WrongKindError": "rondel.errors",
    "load": "rondel.api.load",
    "prepare": "rondel.api.preparing",
    "resume": "rondel.api.training",
    "train": "rondel.api.training",
}


def __getattr__(name: str) -> object:
    """Import a public name on first access, so that `import rondel` alone imports nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rondel' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """All public names, imported or not."""
    return sorted({*globals(), *__all__})
