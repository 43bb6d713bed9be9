"""`rondel export`: what it writes, and what it refuses in one line with nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _serving import write_language_model
from click.testing import CliRunner, Result

from rondel.cli import cli
from rondel.errors import RondelError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("models") / "poems")


def export(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def refusal(*arguments: object) -> str:
    result = export(*arguments)
    assert isinstance(result.exception, RondelError)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_a_page_is_one_file_whose_size_is_printed_first(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "poems.html"
    result = export(model, "--to", "html", "--out", out)
    assert result.exit_code == 0
    assert result.output.startswith(f"{out.stat().st_size:,} bytes: language-model, lstm 2×24")
    assert [file.name for file in tmp_path.iterdir()] == ["poems.html"]


def test_fewer_bits_take_less_room(model: Path, tmp_path: Path) -> None:
    sizes = {}
    for precision in ("fp32", "fp16", "int8"):
        out = tmp_path / f"{precision}.html"
        assert export(model, "--to", "html", "--out", out, "--precision", precision).exit_code == 0
        sizes[precision] = out.stat().st_size
    assert max(sizes["fp16"], sizes["int8"]) < sizes["fp32"]


def test_text_of_the_model_is_data(tmp_path: Path) -> None:
    from rondel import artifact

    folder = write_language_model(tmp_path / "model")
    parts = artifact.load(folder)
    excerpt = "</script><script>alert(1)</script><!--"
    hostile = artifact.Artifact(
        parts.config, parts.tokenizer, parts.weights, parts.progress, (excerpt,)
    )
    artifact.save(tmp_path / "<b>", hostile)
    out = tmp_path / "page.html"
    assert export(tmp_path / "<b>", "--to", "html", "--out", out).exit_code == 0
    page = out.read_text(encoding="utf-8")
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<b>" not in page


def test_a_package_has_a_name_and_types(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "poems-js"
    assert export(model, "--to", "js", "--out", out).exit_code == 0
    package = json.loads((out / "package.json").read_text(encoding="utf-8"))
    assert package["name"] == "poems"
    assert (out / package["exports"]["."]["types"]).is_file()
    again = export(model, "--to", "js", "--out", out, "--overwrite")
    assert again.exit_code == 0


def test_what_is_there_stays_unless_told(model: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "a.html", tmp_path / "js"
    file.write_text("mine", encoding="utf-8")
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    assert "--overwrite" in refusal(model, "--to", "html", "--out", file)
    assert "--overwrite" in refusal(model, "--to", "js", "--out", folder)
    assert "mine.txt" in refusal(model, "--to", "js", "--out", folder, "--overwrite")
    assert "is a folder" in refusal(model, "--to", "html", "--out", folder, "--overwrite")
    assert "is a file" in refusal(model, "--to", "js", "--out", file, "--overwrite")
    assert file.read_text(encoding="utf-8") == "mine"
    assert [one.name for one in folder.iterdir()] == ["mine.txt"]
    assert export(model, "--to", "html", "--out", file, "--overwrite").exit_code == 0


def test_bad_input_leaves_nothing(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert "there is no such folder" in refusal(tmp_path / "none", "--to", "html", "--out", out)
    assert "not a model folder" in refusal(tmp_path, "--to", "html", "--out", out)
    missing = tmp_path / "none" / "page.html"
    assert "does not exist" in refusal(model, "--to", "html", "--out", missing)
    assert list(tmp_path.iterdir()) == []
