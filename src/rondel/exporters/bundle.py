"""Put ES modules into one script, which needs no other file.

A module's imports are at its beginning, one a line (`import { a, b as c } from "./x.js";`), and
what it exports is declared as such (`export const a`, `export function`, `export class`). That is
how rondel's own are written; any other form is refused.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

IMPORT = re.compile(r'^import \{ (?P<names>[\w$, ]+) \} from "(?P<place>[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(
    r"^export (?=(?:const|let|class|(?:async )?function\*?) (?P<name>[\w$]+))", re.MULTILINE
)
UNKNOWN = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def imports_of(text: str, path: str) -> list[tuple[str, str]]:
    """Return what a module at `path` imports: the names, as written, and each module's path."""
    folder = posixpath.dirname(path)
    return [
        (match["names"], posixpath.normpath(posixpath.join(folder, match["place"])))
        for match in IMPORT.finditer(text)
    ]


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """Return a script that does what the module `entry` does; `modules` are texts by path.

    Every module becomes a function that is called once and returns what it exports, those that a
    module imports before it. Raises `ValueError` for a form that is not known, or a cycle.
    """
    parts: dict[str, str] = {}
    names: dict[str, str] = {}

    def add(path: str, above: tuple[str, ...]) -> str:
        if path in above:
            raise ValueError(f"modules import in a circle: {' imports '.join((*above, path))}")
        if path not in names:
            text = modules[path]
            imports = [
                f"const {{ {imported.replace(' as ', ': ')} }} = {add(place, (*above, path))};\n"
                for imported, place in imports_of(text, path)
            ]
            exported = ", ".join(match["name"] for match in EXPORT.finditer(text))
            body = EXPORT.sub("", IMPORT.sub("", text)).strip("\n")
            if unknown := UNKNOWN.search(body):
                raise ValueError(f"{path}: no import or export of this form: {unknown.group()}")
            names[path] = f"module{len(names)}"
            parts[path] = (
                f"// {path}\nconst {names[path]} = (() => {{\n{''.join(imports)}{body}\n"
                f"return {{ {exported} }};\n}})();\n"
            )
        return names[path]

    add(entry, ())
    return '"use strict";\n' + "\n".join(parts.values())
