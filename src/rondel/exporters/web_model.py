"""A model for the engine in JavaScript: its description, its arrays, and the modules that run it.

The modules are in the folder `javascript`. A cell, kind of model, tokenizer or sampling rule runs
there if the folder of such components has a file with its name.
"""

from __future__ import annotations

import dataclasses
import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from rondel import __version__
from rondel.artifact import Artifact
from rondel.cells import cells
from rondel.engine.head import Head
from rondel.engine.probability import require_finite
from rondel.errors import InputError
from rondel.exporters.bundle import imports_of
from rondel.generation.sampling.rules import rules
from rondel.inspection.trace import reader_of, track_shapes
from rondel.text.tokenizers import tokenizer_to_json

JAVASCRIPT = Path(__file__).parent / "javascript"
LARGEST_INT8 = 127
WORTH_COMPRESSING = 0.9
EIGHT_BITS = re.compile(r"core\.weight_(hh_l\d+|ih_l[1-9]\d*)|head\.weight")
MOST_TOKENS = 10_000_000
"""The longest text that the page writes at a time."""

Arrays = Mapping[str, npt.NDArray[Any]]


def engine_wasm() -> bytes:
    """Return the compiled arithmetic."""
    return (JAVASCRIPT / "engine.wasm").read_bytes()


def modules_for(model: Artifact, entry: str) -> dict[str, str]:
    """Return the modules that `entry` needs to run a model, by path.

    `parts.js` among them names the model's components. Raises `InputError` if one of them has no
    module.
    """
    used = {type(stack.cell) for stack in reader_of(model.config).stacks().values()}
    cell_names = [name for name, cls in cells.items() if cls in used]
    rule_names = [name for name in rules if is_there(f"rules/{name}.js")]
    for name in cell_names:
        _require("cells", name, f"the cell {name!r}")
    _require("tokenizers", model.tokenizer.level, f"the level {model.tokenizer.level!r}")
    if not model.tokenizer.is_own:
        raise InputError(
            "this model's tokenizer was made by another program and has no engine in the page; "
            "use rondel serve for this model"
        )
    _require("kinds", model.config.model, f"the kind of model {model.config.model!r}")
    lines = [
        f'import {{ Model }} from "./kinds/{model.config.model}.js";',
        f'import {{ Tokenizer }} from "./tokenizers/{model.tokenizer.level}.js";',
        *(f'import {{ cell as {name} }} from "./cells/{name}.js";' for name in cell_names),
        *(f'import {{ rule as {name} }} from "./rules/{name}.js";' for name in rule_names),
        "",
        "// The components of this model.",
        f"export const parts = {{ Model, Tokenizer, cells: {{ {', '.join(cell_names)} }}, "
        f"rules: {{ {', '.join(rule_names)} }} }};\n",
    ]
    return _with_imports(entry, {"parts.js": "\n".join(lines)})


def _with_imports(entry: str, made: Mapping[str, str]) -> dict[str, str]:
    """Return a module and all that it imports, of those that were `made` or are in the folder."""
    found: dict[str, str] = {}
    left = [entry]
    while left:
        path = left.pop()
        if path not in found:
            found[path] = made.get(path) or text_of(path)
            left += [place for _, place in imports_of(found[path], path)]
    return found


def describe_for_web(model: Artifact, name: str) -> dict[str, Any]:
    """Return what the modules ask of a model besides its arrays, as plain JSON values."""
    config = model.config
    tracks = {track: list(shape) for track, shape in track_shapes(config).items()}
    facts = {
        "id": name,
        "kind": config.model,
        "level": model.tokenizer.level,
        "cell": config.cell,
        "num_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "tracks": tracks,
        "max_tokens": MOST_TOKENS,
    }
    return {
        "made_by": f"rondel {__version__}",
        "facts": facts,
        "config": config.flat(),
        "tokenizer": tokenizer_to_json(model.tokenizer),
        "excerpts": list(model.excerpts),
        "rules": rule_fields(),
    }


def rule_fields() -> dict[str, dict[str, Any]]:
    """Return the parameters of the sampling rules that have modules, as JSON Schema has fields."""
    fields = {}
    for name, rule in rules.items():
        if not is_there(f"rules/{name}.js"):
            continue
        for parameter in dataclasses.fields(rule):  # type: ignore[arg-type]
            limits = parameter.metadata
            bounds = {
                "minimum": limits["at_least"],
                "exclusiveMinimum": limits["above"],
                "maximum": limits["at_most"],
            }
            fields[parameter.name] = {
                "type": "integer" if isinstance(parameter.default, int) else "number",
                "default": parameter.default,
                "description": limits["help"],
                "x-sampling-rule": name,
                **{key: bound for key, bound in bounds.items() if bound is not None},
            }
    return fields


def stored_weights(weights: Arrays, precision: str) -> bytes:
    """Return a model's arrays as safetensors in gzip, in a precision.

    "fp16" rounds all of them; "int8" those that `build_engine` has in 8 bits, each row to whole
    multiples of a scale. Raises `InputError` for weights that half precision cannot hold.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    if precision == "int8":
        # A tied head is of 8 bits, while the embedding is read as it is.
        weights = {"head.weight": Head.of(weights).weight_VH, **weights}
    for name, array in weights.items():
        values = require_finite(array)
        if precision == "fp16":
            if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise InputError(f"{name} has numbers beyond half precision; use --precision fp32")
            arrays[name] = values.astype(np.float16)
        elif precision == "int8" and EIGHT_BITS.fullmatch(name):
            largest = np.abs(values).max(axis=1)
            scales = np.where(largest > 0, largest / LARGEST_INT8, 1).astype(np.float32)
            arrays[f"{name}.scales"] = scales
            arrays[name] = np.rint(values / scales[:, None]).astype(np.int8)
        else:
            arrays[name] = values.astype(np.float32)
    data = safetensors.numpy.save(arrays)
    # The same bytes each time: no time stands in it. What hardly becomes less is stored as it is,
    # which a page reads in half the time.
    compressed = gzip.compress(data, 9, mtime=0)
    worth_it = len(compressed) < WORTH_COMPRESSING * len(data)
    return compressed if worth_it else gzip.compress(data, 0, mtime=0)


def text_of(path: str) -> str:
    """Return the text of a file of the folder."""
    return (JAVASCRIPT / path).read_text(encoding="utf-8")


def is_there(path: str) -> bool:
    """Whether the folder has such a file."""
    return (JAVASCRIPT / path).is_file()


def _require(folder: str, name: str, what: str) -> None:
    if not is_there(f"{folder}/{name}.js"):
        raise InputError(f"{what} has no engine in the page; use rondel serve for this model")
