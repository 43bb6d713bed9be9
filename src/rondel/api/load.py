"""Open a model folder as the class of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast, overload

from rondel import artifact
from rondel.api.base import Model
from rondel.api.language_model import LanguageModel
from rondel.artifact import Artifact
from rondel.checked import checked
from rondel.errors import WrongKindError
from rondel.kinds import Kind, kind_of, kinds

M = TypeVar("M", bound=Model)
LANGUAGE_MODEL = kinds["language-model"]


@overload
def load(
    path: str | Path, *, precision: str = "fp32", threads: int | None = None
) -> LanguageModel: ...
@overload
def load(
    path: str | Path, *, kind: type[M], precision: str = "fp32", threads: int | None = None
) -> M: ...
@checked
def load(
    path: str | Path,
    *,
    kind: Any = None,
    precision: str = "fp32",
    threads: int | None = None,
) -> Any:
    """Load a model folder; raises `ModelFolderError` if it is missing or damaged.

    The model has the class of its kind. To a type checker it is a `LanguageModel`, or the class
    `kind`, which is checked: `WrongKindError` for a model of another kind. With `precision` "int8"
    it runs with 8-bit weights: faster, and a little less exact, which `LanguageModel.evaluate`
    measures. Texts and scores do not depend on `threads`, by default as many as speed it up.
    """
    parts = artifact.load(Path(path))
    model = model_of(parts, precision=precision, threads=threads)
    if kind is not None and not isinstance(model, kind):
        raise WrongKindError(
            f"{path} is a {kind_of(parts.config).noun}, and this needs a {_kind_named(kind).noun}; "
            f"train one with --model {_kind_named(kind).name}"
        )
    model._folder = Path(path)
    return model


def _kind_named(cls: type[Model]) -> Kind:
    """Return the kind of model with this class; a language model for its base classes."""
    return next((kind for kind in kinds.values() if kind.api_class is cls), LANGUAGE_MODEL)


def model_of(parts: Artifact, *, precision: str = "fp32", threads: int | None = None) -> Model:
    """Make a model from its parts, of the class of its kind."""
    cls = kind_of(parts.config).api_class
    return cast(Model, cls(parts, precision=precision, threads=threads))
