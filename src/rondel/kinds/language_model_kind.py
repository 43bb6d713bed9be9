"""The language model: it predicts each token from those before it."""

from __future__ import annotations

from rondel.kinds import kinds
from rondel.kinds.base import Kind
from rondel.registry import Part


class LanguageModel(Kind):
    """The recurrent language model (Mikolov et al. 2010)."""

    name = "language-model"
    noun = "language model"
    has_reference = is_sized = is_causal = reads_documents = has_softmaxes = True
    module = Part("rondel.models.language_model_module:LanguageModel")


kinds.register(LanguageModel.name)(LanguageModel())
