"""The command `rondel inspect`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from _runs import rondel

import rondel as package
from rondel.errors import InputError
from rondel.inspection.trace import unit_by_name


@pytest.fixture
def text(tmp_path: Path, coffee: str) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(coffee[:3000], encoding="utf-8")
    return path


def test_finds_are_printed_as_a_table_and_as_json(trained: Path, text: Path) -> None:
    finds = json.loads(rondel("inspect", trained, text, "--format", "json").output)
    again = package.load(trained)
    read = again.trace(text.read_text(encoding="utf-8"))
    assert [find["unit"] for find in finds] == [str(f.unit) for f in again.find_units(read)]
    table = rondel("inspect", trained, text, "--top", 1).output
    assert all(find["feature"] in table for find in finds)


def test_a_unit_is_shown_over_the_text(trained: Path, text: Path) -> None:
    shown = rondel("inspect", trained, text, "--unit", "1:7").output
    plain = text.read_text(encoding="utf-8")[:2000]
    assert shown.startswith("unit 1:7\n")
    assert shown.removeprefix("unit 1:7\n").replace("↵", "").split() == plain.split()


def test_without_a_text_it_is_the_validation_part(trained: Path, coffee: str) -> None:
    shown = rondel("inspect", trained, "--unit", "cell:1:7").output
    line = shown.splitlines()[2].rstrip("↵")
    assert line
    assert coffee.find(line) > 0


def test_the_users_features_are_searched_for(trained: Path, text: Path, tmp_path: Path) -> None:
    plain = text.read_text(encoding="utf-8")
    track = tmp_path / "blank.txt"
    track.write_text("".join("01"[c == " "] for c in plain), encoding="utf-8")
    arguments = ("--ablate", "1:3", "--feature", "the=\\bthe\\b", "--track", track)
    effects = json.loads(rondel("inspect", trained, text, *arguments, "--format", "json").output)
    named = {effect["feature"]: effect for effect in effects}
    assert {effect["unit"] for effect in effects} == {"1:3"}
    assert named["blank"]["tokens_where"] == plain[1:].count(" ")
    assert named["the"]["tokens_where"] == 3 * len(re.findall(r"\bthe\b", plain[1:]))


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")], ids=["png", "svg"]
)
def test_figures_of_units_and_of_a_layer(
    trained: Path, text: Path, tmp_path: Path, suffix: str, begins: bytes
) -> None:
    for number, what in enumerate((("--unit", "1:1", "--unit", "cell:1:2"), ("--heatmap", 1))):
        out = tmp_path / f"{number}{suffix}"
        assert rondel("inspect", trained, text, *what, "--out", out).output == f"wrote {out}\n"
        assert out.read_bytes().startswith(begins)
        assert out.stat().st_size > 5000


def test_watching_writes_what_sample_writes(trained: Path, tmp_path: Path) -> None:
    prime = tmp_path / "prime.txt"
    prime.write_text("A coffee.\nThe ", encoding="utf-8")
    arguments = ("-n", 60, "--seed", 3)
    watched = rondel("inspect", trained, prime, "--watch", "--unit", "1:1", *arguments).output
    sampled = rondel("sample", trained, "--prime-file", prime, *arguments).output
    assert "A coffee.\n" + watched.replace("↵\n", "\n").rstrip() == sampled.rstrip()


def test_watching_without_a_unit_uses_the_strongest_find(trained: Path, text: Path) -> None:
    found = rondel("inspect", trained, text, "--watch", "-n", 20, "--seed", 3)
    match = re.search(r"coloured by unit (\d+:\d+): \S", found.output)
    assert match
    named = rondel("inspect", trained, text, "--watch", "-n", 20, "--seed", 3, "--unit", match[1])
    assert found.stdout == named.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--unit", "2:1"),
            "no unit 2:1: this model has 1 layer of 32 units, and both are counted",
        ),
        (("--unit", "1:33"), "there is no unit 1:33: this model has 1 layer of 32 units"),
        (("--unit", "1:0"), "there is no unit 1:0: this model has 1 layer of 32 units"),
        (("--unit", f"1:{'9' * 5000}"), "must be LAYER:UNIT, such as 1:32"),
        (("--unit", f"{'9' * 5000}:1"), "must be LAYER:UNIT, such as 1:32"),
        (("--unit", f"{'x' * 5000}:1:1"), "there are: hid"),
        (("--unit", "seven"), "unit 'seven' must be LAYER:UNIT, such as 1:32"),
        (("--unit", "memory:1:1"), "unit memory:1:1: no track is called 'memory'; there are: hid"),
        (("--ablate", "forget:1:1"), "forget:1:1 cannot be clamped: only units that the next"),
        (("--feature", "oops"), "--feature 'oops' must be NAME=REGEX"),
        (("--out", "unit.pdf"), "unit.pdf: --out must be a page (.html) or a figure (.png, .svg)"),
        (("--out", "unit.png"), "a figure shows units: name some with --unit, or a layer with"),
        (("--out", "unit.png", "--heatmap", "3"), "there is no layer 3: this model has 1"),
        (("--watch", "--unit", "1:1", "--unit", "1:2"), "--watch colours by one unit; name only"),
    ],
)
def test_errors_are_one_line(
    trained: Path, text: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        rondel("inspect", trained, text, *arguments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "text.txt is empty"),
        ("яЖ☕" * 100, "the model knows no character of this text, such as 'я': give it a text"),
    ],
)
def test_a_text_with_nothing_to_read_is_refused(
    trained: Path, text: Path, content: str, message: str
) -> None:
    text.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        rondel("inspect", trained, text)


def test_an_empty_text_is_refused_in_python_too(trained: Path) -> None:
    with pytest.raises(InputError, match="the text is empty: give a text to read"):
        package.load(trained).trace("")


def test_unit_names_round_trip() -> None:
    shapes = {"hidden": (2, 200), "cell": (2, 200), "backward.cell": (2, 200)}
    for name in ("2:137", "cell:1:1", "backward.cell:2:200"):
        assert str(unit_by_name(name, shapes)) == name
    unit = unit_by_name("cell:2:137", shapes)
    assert (unit.track, unit.layer, unit.index) == ("cell", 1, 136)
