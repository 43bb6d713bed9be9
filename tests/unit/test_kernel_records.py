"""Records that kernels read: written and read by name, whatever the order of the fields."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

from rondel.kernels.compiling import compiled
from rondel.kernels.inference.run_records import Run
from rondel.kernels.kernel_records import layout_of, records
from rondel.kernels.simd.unit_groups import Groups, address_of, aligned
from rondel.kernels.training.layer_records import TrainingLayer

SCHEMAS = [Run, TrainingLayer]


class Inner(NamedTuple):
    first: int
    second: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    size: int
    inner: Inner
    last: int


# The same fields in another order.
Turned = dataclasses.make_dataclass(
    "Turned", [("last", int), ("inner", Inner), ("size", int)], frozen=True, kw_only=True
)


@compiled
def fields_of(array: Any) -> tuple[int, int, int, int]:
    record = array[1]
    return record.size, record.inner.first, record.inner.second, record.last


@pytest.mark.parametrize("schema", [Outer, Turned])
def test_a_kernel_reads_fields_by_name(schema: Any) -> None:
    other = schema(size=-1, inner=Inner(first=-1, second=-1), last=-1)
    array = records(other, schema(size=1, inner=Inner(first=2, second=3), last=4))
    assert fields_of(array) == (1, 2, 3, 4)


def numbered(schema: Any, numbers: dict[str, int], path: str = "") -> Any:
    """A record whose integers all differ; `numbers` gets each under its dotted name."""
    values = {}
    for name in layout_of(schema).names or ():
        kind = layout_of(schema)[name]
        if kind.names is None:
            values[name] = numbers[f"{path}{name}"] = len(numbers) + 1
        else:
            values[name] = numbered(_class_of(schema, name), numbers, f"{path}{name}.")
    return schema(**values)


def _class_of(schema: Any, name: str) -> Any:
    from typing import get_type_hints

    return get_type_hints(schema)[name]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__module__)
def test_every_field_is_written_under_its_name(schema: Any) -> None:
    numbers: dict[str, int] = {}
    row = records(numbered(schema, numbers))[0]
    for path, number in numbers.items():
        value = row
        for name in path.split("."):
            value = value[name]
        assert value == number, path


def test_missing_and_positional_fields_are_refused() -> None:
    with pytest.raises(TypeError):
        Outer(1, Inner(2, 3), 4)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Outer(size=1, last=2)  # type: ignore[call-arg]


def test_groups_have_the_addresses_of_their_array() -> None:
    array = aligned(3, 5, 16)
    groups = Groups.of(array)
    for group, row in ((0, 0), (2, 4), (1, 3)):
        assert address_of(groups, group, row) == array[group, row:].ctypes.data
    assert Groups.of(array[:, 2:]).address == address_of(groups, 0, 2)
    assert np.shares_memory(array, array[:, 2:])
