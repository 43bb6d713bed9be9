"""Registries import their package; errors have one base class and name the extra to install."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rondel import errors
from rondel.cells import cells
from rondel.errors import InputError, MissingExtraError, RondelError, require
from rondel.registry import Registry


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[type]]:
    """A registry over a package of two modules, not imported yet."""
    package = tmp_path / "rondel_test_shapes"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from rondel.registry import Registry\nshapes = Registry('shape', __name__)\n"
    )
    for name in ("square", "circle"):
        (package / f"{name}.py").write_text(
            "from rondel_test_shapes import shapes\n"
            f"@shapes.register({name!r})\nclass {name.title()}: pass\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    import rondel_test_shapes

    yield rondel_test_shapes.shapes
    for name in [name for name in sys.modules if name.startswith("rondel_test_shapes")]:
        del sys.modules[name]


def test_modules_are_imported_on_the_first_look_up(shapes: Registry[type]) -> None:
    assert "rondel_test_shapes.circle" not in sys.modules
    assert shapes["square"].__name__ == "Square"
    assert "rondel_test_shapes.circle" in sys.modules
    assert list(shapes) == ["circle", "square"]
    assert len(shapes) == 2
    assert "circle" in shapes
    assert "hexagon" not in shapes
    assert {name: cls.__name__ for name, cls in shapes.items()} == {
        "circle": "Circle",
        "square": "Square",
    }


def test_an_unknown_name_is_refused_with_the_known_ones(shapes: Registry[type]) -> None:
    with pytest.raises(InputError) as refused:
        shapes["hexagon"]
    assert str(refused.value) == "no shape is called 'hexagon'; there are: circle, square"


def test_a_name_can_be_registered_once(shapes: Registry[type]) -> None:
    shapes.register("oval")(int)
    with pytest.raises(ValueError, match="two things are registered as shape 'oval'"):
        shapes.register("oval")(float)
    assert shapes["oval"] is int


def test_the_registered_cells() -> None:
    assert {"gru", "lstm", "rnn"} <= set(cells)


def test_every_error_is_a_rondel_error_and_drawn_in_the_tree() -> None:
    kinds = [
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type)
        and issubclass(thing, Exception)
        and not issubclass(thing, Warning)
    ]
    assert len(kinds) == 7
    for kind in kinds:
        assert issubclass(kind, RondelError)
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_missing_module_is_named_with_its_extra() -> None:
    assert require("json", "train").dumps([1]) == "[1]"
    with pytest.raises(MissingExtraError) as missing:
        require("no_such_module.part", "train")
    assert str(missing.value) == (
        'this needs no_such_module, which is not installed: pip install "rondel[train]"'
    )


def test_an_import_error_inside_an_installed_module_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rondel_test_broken.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("rondel_test_broken", "train")
