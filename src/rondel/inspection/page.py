"""`units.html`: a trace and its finds as one interactive page that works offline.

Shapes: N tokens, L layers, H units in a layer, U units.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError
from rondel.files import write_atomically
from rondel.inspection.finding import Find
from rondel.inspection.scale import full_scale, scaled
from rondel.inspection.trace import Trace, Unit
from rondel.pages import fill_page

STEPS = 15
"""Quantisation steps from 0 to 1: as fine as the eye can see, and the page stays small."""
MAX_HIDDEN_VALUES = 21_000_000
"""Most hidden-state values in a page: 1024 units over 20,000 characters."""
MAX_OTHER_VALUES = 5_000_000
"""Most values of other tracks, which a page has for the found units."""
MAX_TOKENS = 50_000
"""Most tokens in a page: what a browser can lay out."""


def write_page(path: Path, trace: Trace, finds: Sequence[Find], source: str = "") -> None:
    """Write the page of a trace: the text coloured by any unit, the finds and the predictions.

    A text too long for a page of 25 MB is cut, and the page says so. `source` names the text.
    Raises `InputError` for a trace without hidden states, and `OSError` if it cannot be written.
    """
    write_atomically(path, fill_page("units.html", page_data(trace, finds, source)).encode())


def page_data(trace: Trace, finds: Sequence[Find], source: str = "") -> dict[str, Any]:
    """The page's data, ready for JSON."""
    hidden = [name for name in trace.tracks if name.endswith("hidden")]
    if not hidden:
        raise InputError("a page of units needs a trace with hidden states")
    width = sum(int(np.prod(trace.tracks[name].shape[1:])) for name in hidden)
    count = min(len(trace), MAX_TOKENS, max(1, MAX_HIDDEN_VALUES // width))
    tracks = [_pack_track(trace, name, count) for name in hidden]
    others = _other_units(trace, finds)[: MAX_OTHER_VALUES // count]
    for name in trace.tracks:
        units = [[unit.layer, unit.index] for unit in others if unit.track == name]
        if units:
            tracks.append(_pack_units(trace, name, units, count))
    vocabulary, guesses = np.unique(trace.guesses_ids[:count], return_inverse=True)
    return {
        "source": source,
        "tokens": trace.tokens[:count],
        "left_out": len(trace) - count,
        "noun": trace.tokenizer.token_noun,
        "steps": STEPS,
        "tracks": tracks,
        "vocabulary": [trace.tokenizer.token(int(i)) for i in vocabulary],
        "guesses": guesses.reshape(count, -1).ravel().tolist(),
        "chances": np.rint(1000 * trace.guesses_probability[:count]).astype(int).ravel().tolist(),
        "finds": [_find_data(find) for find in finds],
    }


def _find_data(find: Find) -> dict[str, Any]:
    return {
        "unit": str(find.unit),
        "track": find.unit.track,
        "layer": find.unit.layer,
        "index": find.unit.index,
        "feature": find.feature,
        "measure": find.measure,
        "value": round(find.value, 4),
        "confirmed": round(find.confirmed_value, 4),
        "strength": round(find.strength, 4),
        "p": find.p_value,
        "wavelength": None if find.wavelength is None else round(find.wavelength, 1),
    }


def _pack_track(trace: Trace, name: str, count: int) -> dict[str, Any]:
    values_NLH = trace.tracks[name]
    layers, size = values_NLH.shape[1:]
    units = [[layer, index] for layer in range(layers) for index in range(size)]
    return _pack(name, units, values_NLH[:count].reshape(count, -1).T, whole=True)


def _other_units(trace: Trace, finds: Sequence[Find]) -> list[Unit]:
    """Found units in tracks other than hidden states, then other tracks of all found units."""
    others = {name: array.shape[1:] for name, array in trace.tracks.items()
              if not name.endswith("hidden")}  # fmt: skip
    found = [find.unit for find in finds]
    beside = [
        Unit(name, unit.layer, unit.index)
        for unit in found
        for name, (layers, size) in others.items()
        if unit.layer < layers and unit.index < size
    ]
    return list(dict.fromkeys([unit for unit in found if unit.track in others] + beside))


def _pack_units(trace: Trace, name: str, units: list[list[int]], count: int) -> dict[str, Any]:
    values_NLH = trace.tracks[name]
    values_UN = np.stack([values_NLH[:count, layer, index] for layer, index in units])
    return _pack(name, units, values_UN)


def _pack(
    name: str, units: list[list[int]], values_UN: npt.NDArray[Any], *, whole: bool = False
) -> dict[str, Any]:
    # Each unit is scaled by its largest value if its track exceeds 1.
    steps_UN = np.stack([np.rint(STEPS * scaled(row_N)) for row_N in values_UN]).astype(np.int8)
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(steps_UN).tobytes(), 6)).decode()
    # A whole track needs no list of units, only the number per layer.
    layers = 1 + max(layer for layer, _ in units)
    return {
        "name": name,
        "layers": layers,
        "units": len(units) // layers if whole else units,
        "whole": whole,
        "largest": [float(f"{full_scale(row_N):.4g}") for row_N in values_UN],
        "data": data,
    }
