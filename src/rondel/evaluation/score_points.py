"""A point of a text that is scored, as JSON values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rondel.evaluation.block_reading import ReaderState
from rondel.evaluation.score_rows import RowsState
from rondel.evaluation.scoring import Point
from rondel.evaluation.text_blocks import Place


def point_to_json(point: Point) -> dict[str, Any]:
    """A point as JSON values, all of whose numbers come back as they are."""
    return {
        "place": point.place._asdict(),
        "rows": None if point.rows is None else dataclasses.asdict(point.rows),
        "state": [
            {"shape": part.shape, "values": part.ravel().tolist()} for part in point.reader.state
        ],
        "last": point.reader.last,
    }


def point_from_json(values: dict[str, Any]) -> Point:
    """The inverse of `point_to_json`; `KeyError`, `TypeError` or `ValueError` if it is not one."""
    state = tuple(
        np.array(part["values"], np.float32).reshape(part["shape"]) for part in values["state"]
    )
    return Point(
        Place(**values["place"]),
        None if values["rows"] is None else RowsState(**values["rows"]),
        ReaderState(state, values["last"]),
    )
