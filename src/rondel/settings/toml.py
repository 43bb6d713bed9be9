"""Read and write settings files: `run.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.exceptions

from rondel.errors import InputError
from rondel.files import refuse_device
from rondel.settings.catalogue import all_settings, build_section
from rondel.settings.fields import check, settings_of, types_of
from rondel.settings.sections import SECTIONS, RunConfig


def to_toml(config: RunConfig) -> str:
    """Write every setting with its help as a comment; `None` as a commented-out line."""
    known = all_settings()
    document = tomlkit.document()
    for section, record in config.sections().items():
        table = tomlkit.table()
        fields = settings_of(type(record))
        for name, value in record.flat().items():
            help = fields[name].metadata["help"] if name in fields else known[name].help
            if value is None:
                table.add(tomlkit.comment(f"{name} =   # {help}"))
            else:
                table.add(name, tomlkit.item(value).comment(help))
        document.add(section, table)
    return tomlkit.dumps(document)


def read_sections(path: Path) -> dict[str, dict[str, Any]]:
    """Read the sections of a `run.toml` as plain, checked values; missing sections are empty.

    Raises `InputError` if the file is not TOML, or has an unknown section or setting, or an invalid
    value.
    """
    document = _parse(path)
    known = all_settings()
    for section, values in document.items():
        if section not in SECTIONS or not isinstance(values, dict):
            raise InputError(
                f"{path}: {section!r} is not one of the sections {', '.join(SECTIONS)}"
            )
        fields, types = settings_of(SECTIONS[section]), types_of(SECTIONS[section])
        for name, value in values.items():
            try:
                if name in fields:
                    check(fields[name], types[name], value)
                elif name in known and known[name].section == section:
                    known[name].check(value)
                else:
                    raise InputError(f"no setting is called {name!r}; remove that line")
            except InputError as error:
                raise InputError(f"{path} [{section}]: {error}") from None
    return {name: dict(document.get(name, {})) for name in SECTIONS}


def _parse(path: Path) -> dict[str, Any]:
    refuse_device(path)
    try:
        document: dict[str, Any] = tomlkit.parse(path.read_text(encoding="utf-8")).unwrap()
        return document
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such settings file; check the name") from None
    except RecursionError:
        raise InputError(f"{path} is not a TOML file: it is nested too deep") from None
    except (tomlkit.exceptions.TOMLKitError, ValueError) as error:
        raise InputError(f"{path} is not a TOML file: {error}") from None


def read_run_config(path: Path) -> RunConfig:
    """Read the settings of a run from its `run.toml`, as written by `to_toml`."""
    sections = read_sections(path)
    choices = {**sections["text"], **sections["model"], **sections["training"]}
    # Text and model both have a vocab_size, but it does not choose a component.
    records = {name: build_section(SECTIONS[name], sections[name], choices) for name in SECTIONS}
    return RunConfig(**records)  # type: ignore[arg-type]
