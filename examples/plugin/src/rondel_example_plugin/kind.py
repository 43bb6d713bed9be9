"""A kind of model: a language model whose units are kept small."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.kinds import Part, kinds
from rondel.kinds.language_model_kind import LanguageModel
from rondel.settings import setting


@dataclass(frozen=True)
class ActivitySettings:
    """What is asked of the units."""

    example_activity: float = setting(
        2.0, "weight of the units' mean square, which is added to the loss", at_least=0
    )


class QuietLanguageModel(LanguageModel):
    """A language model in all but what it minimises, so that all else is inherited."""

    name = "example-quiet"
    noun = "quiet language model"
    model_settings = ActivitySettings
    has_reference = False
    module = Part("rondel_example_plugin.module:QuietModule")


kinds.register(QuietLanguageModel.name)(QuietLanguageModel())
