"""Settings: those given by the user (`Settings`), and those a run uses (`RunConfig`)."""

from rondel.settings.catalogue import all_settings, build_section
from rondel.settings.fields import flag_name, setting
from rondel.settings.given import Settings, read_settings
from rondel.settings.sections import ModelConfig, RunConfig, TextConfig, TrainingConfig

__all__ = [
    "ModelConfig",
    "RunConfig",
    "Settings",
    "TextConfig",
    "TrainingConfig",
    "all_settings",
    "build_section",
    "flag_name",
    "read_settings",
    "setting",
]
