"""The model folder: loaded bit for bit, and refused if its files do not match."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from _runs import logits_of, rondel
from _settings import model_config, text_config

from rondel import artifact
from rondel.artifact import MODEL, TOKENIZER, WEIGHTS, Artifact
from rondel.errors import InputError, ModelFolderError
from rondel.text.tokenizers import tokenizer_to_json, tokenizers, train_tokenizer

TEXT = "The cup — café noir — is “hot”.\nA bean is a bean.\n" * 3
PROGRESS = {"step": 3, "epoch": 0.25, "tokens": 12, "seconds": 0.5, "train_loss": 1 / 3}
TRICKY = np.array([0.0, -0.0, 1 / 3, np.float32(1e-45), np.finfo(np.float32).max], np.float32)


def make(level: str = "char", **changes: Any) -> Artifact:
    tokenizer = train_tokenizer(TEXT, text_config(level=level, min_count=1))
    config = model_config(
        hidden_size=4, embedding_size=0, num_layers=2, vocab_size=tokenizer.vocab_size, **changes
    )
    rng = np.random.default_rng(1)
    size = tokenizer.vocab_size
    shapes = {"head.weight": (size, 4), "head.bias": (size,)}
    for layer in range(2):
        shapes[f"core.weight_ih_l{layer}"] = (16, 4 if layer else size)
        shapes[f"core.weight_hh_l{layer}"] = (16, 4)
        shapes[f"core.bias_ih_l{layer}"] = shapes[f"core.bias_hh_l{layer}"] = (16,)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["core.bias_ih_l0"][:5] = TRICKY
    return Artifact(config, tokenizer, weights, dict(PROGRESS), ("The cup", "A “bean”"))


@pytest.mark.parametrize("level", tokenizers)
def test_a_model_is_loaded_bit_for_bit(level: str, tmp_path: Path) -> None:
    model = make(level, dropout=0.25, cell="lstm", forget_bias=1.5)
    artifact.save(tmp_path / "m", model)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [MODEL, TOKENIZER, WEIGHTS]
    loaded = artifact.load(tmp_path / "m")
    assert loaded.config == model.config
    assert loaded.progress == PROGRESS == artifact.read_progress(tmp_path / "m")
    assert loaded.excerpts == ("The cup", "A “bean”")
    assert tokenizer_to_json(loaded.tokenizer) == tokenizer_to_json(model.tokenizer)
    assert loaded.tokenizer.decode(loaded.tokenizer.encode(TEXT)) == TEXT
    assert loaded.weights.keys() == model.weights.keys()
    for name, array in model.weights.items():
        assert loaded.weights[name].dtype == np.float32
        assert loaded.weights[name].shape == array.shape
        assert loaded.weights[name].tobytes() == array.tobytes()


def test_arrays_in_any_order_of_memory_are_the_same_arrays(tmp_path: Path) -> None:
    model = make()
    transposed = {name: np.asfortranarray(array) for name, array in model.weights.items()}
    assert artifact.digest(transposed) == artifact.digest(model.weights)
    artifact.save(tmp_path / "m", Artifact(model.config, model.tokenizer, transposed, PROGRESS))
    for name, array in artifact.load(tmp_path / "m").weights.items():
        np.testing.assert_array_equal(array, model.weights[name])


def test_weights_are_replaced_with_their_progress(tmp_path: Path) -> None:
    model = make()
    artifact.save(tmp_path / "m", model)
    weights = {name: array + 1 for name, array in model.weights.items()}
    artifact.write_weights(
        tmp_path / "m", Artifact(model.config, model.tokenizer, weights, {"step": 4})
    )
    loaded = artifact.load(tmp_path / "m")
    assert loaded.progress == {"step": 4}
    np.testing.assert_array_equal(loaded.weights["head.bias"], model.weights["head.bias"] + 1)


def test_only_a_model_is_overwritten_and_only_if_asked(tmp_path: Path) -> None:
    artifact.save(tmp_path / "m", make())
    with pytest.raises(InputError, match="is there already"):
        artifact.save(tmp_path / "m", make("word"))
    assert artifact.load(tmp_path / "m").tokenizer.level == "char"
    (tmp_path / "m" / "loss.png").write_text("of the old one")
    artifact.save(tmp_path / "m", make("word"), overwrite=True)
    assert artifact.load(tmp_path / "m").tokenizer.level == "word"
    assert not (tmp_path / "m" / "loss.png").exists()

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("one")
    (tmp_path / "file").write_text("precious")
    for taken in ("thesis", "file"):
        with pytest.raises(InputError, match="is there already"):
            artifact.save(tmp_path / taken, make(), overwrite=True)
    assert (tmp_path / "thesis" / "chapter").read_text() == "one"
    assert (tmp_path / "file").read_text() == "precious"


def edit_json(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        values = json.loads((folder / name).read_text())
        change(values)
        (folder / name).write_text(json.dumps(values))

    return tamper


def edit_weights(
    change: Callable[[dict[str, Any], dict[str, str]], object],
) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        with safetensors.safe_open(folder / WEIGHTS, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = dict(file.metadata())
        change(arrays, header)
        safetensors.numpy.save_file(arrays, folder / WEIGHTS, metadata=header)

    return tamper


def replace_by_link(target: str, name: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return tamper


def swap_names(arrays: dict[str, Any], header: dict[str, str]) -> None:
    a, b = "core.weight_hh_l0", "core.weight_hh_l1"
    arrays[a], arrays[b] = arrays[b], arrays[a]


TAMPERED = {
    "another shape": (edit_json(MODEL, lambda v: v["config"].update(cell="gru")), "not trained"),
    "more units": (edit_json(MODEL, lambda v: v["config"].update(hidden_size=5)), "not trained"),
    "no such cell size": (
        edit_json(MODEL, lambda v: v["config"].update(hidden_size=0)),
        "--hidden-size must be at least 1",
    ),
    "no such setting": (edit_json(MODEL, lambda v: v["config"].update(x=1)), "'x'"),
    "newer format": (edit_json(MODEL, lambda v: v.update(version=2)), "format version 2"),
    "another program's": (edit_json(MODEL, lambda v: v.pop("format")), "not a rondel model's"),
    "another vocabulary": (
        edit_json(TOKENIZER, lambda v: v.update(characters="abc")),
        "not trained",
    ),
    "an unknown level": (
        edit_json(TOKENIZER, lambda v: v.update(level="morse")),
        "no level is called",
    ),
    "a vocabulary out of order": (
        edit_json(TOKENIZER, lambda v: v.update(characters="cba")),
        "not in order",
    ),
    "its config under another name": (
        edit_json(MODEL, lambda v: v.update(confih=v.pop("config"))),
        "its config is not an object",
    ),
    "no number of layers": (
        edit_json(MODEL, lambda v: v["config"].update(num_layers=None)),
        "num_layers is missing",
    ),
    "an excerpt changed": (
        edit_json(MODEL, lambda v: v["excerpts"].__setitem__(0, "The cuq")),
        "model.json was changed or damaged after it was written",
    ),
    "no excerpts": (edit_json(MODEL, lambda v: v.pop("excerpts")), "model.json was changed"),
    "made by another": (
        edit_json(MODEL, lambda v: v.update(made_by="?")),
        "model.json was changed",
    ),
    "nested too deep": (
        lambda folder: (folder / MODEL).write_text('{"a":' * 100_000 + "1" + "}" * 100_000),
        "nested too deep",
    ),
    "a number of 5,000 digits": (
        lambda folder: (folder / MODEL).write_text('{"format": ' + "9" * 5000 + "}"),
        "is damaged",
    ),
    "a device for a vocabulary": (replace_by_link("/dev/zero", TOKENIZER), "is not a file"),
    "a device for a description": (replace_by_link("/dev/zero", MODEL), "is not a file"),
    "a link to itself": (replace_by_link(WEIGHTS, WEIGHTS), "cannot be read"),
    "a link to nowhere": (replace_by_link("nowhere", WEIGHTS), "is missing"),
    "no progress that can be read": (
        edit_weights(lambda _, header: header.update(progress="[")),
        "changed or damaged",
    ),
    "no vocabulary": (lambda folder: (folder / TOKENIZER).unlink(), "tokenizer.json is missing"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "weights.safetensors is missing"),
    "no description": (lambda folder: (folder / MODEL).unlink(), "has no model.json"),
    "a list": (lambda folder: (folder / MODEL).write_text("[]"), "not a JSON object"),
    "half a description": (lambda folder: (folder / MODEL).write_text('{"fo'), "is damaged"),
    "half the weights": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9]),
        "truncated or damaged",
    ),
    "one number": (
        edit_weights(lambda arrays, _: arrays["head.bias"].__setitem__(0, 7)),
        "changed or damaged",
    ),
    "one bit of a zero": (
        edit_weights(lambda arrays, _: arrays["core.bias_ih_l0"].__setitem__(0, -0.0)),
        "changed or damaged",
    ),
    "two arrays exchanged": (edit_weights(swap_names), "changed or damaged"),
    "one array less": (edit_weights(lambda a, _: a.pop("head.bias")), "changed or damaged"),
    "another type": (
        edit_weights(lambda a, _: a.update({"head.bias": a["head.bias"].astype(np.float64)})),
        "changed or damaged",
    ),
    "another shape of an array": (
        edit_weights(lambda a, _: a.update({"head.bias": a["head.bias"][None]})),
        "changed or damaged",
    ),
    "nothing in the header": (edit_weights(lambda _, header: header.clear()), "not written by"),
    "half a header": (edit_weights(lambda _, header: header.pop("digest")), "not written by"),
    "no progress": (edit_weights(lambda _, header: header.pop("progress")), "not written by"),
}


@pytest.mark.parametrize(("tamper", "reason"), TAMPERED.values(), ids=TAMPERED)
def test_a_folder_that_was_tampered_with_is_refused(
    tamper: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    artifact.save(tmp_path / "m", make())
    artifact.load(tmp_path / "m")
    tamper(tmp_path / "m")
    with pytest.raises(ModelFolderError, match=re.escape(reason)) as refused:
        artifact.load(tmp_path / "m")
    assert str(tmp_path / "m") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("part", [TOKENIZER, WEIGHTS, MODEL])
def test_parts_of_two_models_are_told_apart(part: str, tmp_path: Path, trained: Path) -> None:
    shutil.copytree(trained, tmp_path / "m")
    artifact.save(tmp_path / "other", make())
    shutil.copy(tmp_path / "other" / part, tmp_path / "m" / part)
    with pytest.raises(ModelFolderError, match="the weights were not trained with this"):
        artifact.load(tmp_path / "m")


def test_a_folder_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="there is no such folder"):
        artifact.load(tmp_path / "none")
    with pytest.raises(ModelFolderError, match=r"it has no model\.json"):
        artifact.load(tmp_path)
    (tmp_path / "file").write_text("text")
    for file in (tmp_path / "file", Path("/dev/zero")):
        with pytest.raises(ModelFolderError, match="is a file; a model is a folder"):
            artifact.load(file)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelFolderError, match="cannot be read"):
        artifact.load(tmp_path / "loop")
    with pytest.raises(ModelFolderError, match="there is no such folder"):
        artifact.load(tmp_path / ("long" * 1000))


def test_a_folder_without_the_whole_checksum_is_read(tmp_path: Path) -> None:
    artifact.save(tmp_path / "m", make())
    edit_weights(lambda _, header: header.pop("whole"))(tmp_path / "m")
    assert artifact.load(tmp_path / "m").excerpts == ("The cup", "A “bean”")


def test_weights_go_into_a_folder_of_an_earlier_rondel_with_fewer_settings(tmp_path: Path) -> None:
    model = make()
    artifact.save(tmp_path / "m", model)
    drop = edit_json(
        MODEL, lambda v: (v["config"].pop("embedding_dropout"), v.update(made_by="old"))
    )
    drop(tmp_path / "m")
    before = (tmp_path / "m" / MODEL).read_bytes()
    artifact.write_weights(tmp_path / "m", model)
    assert (tmp_path / "m" / MODEL).read_bytes() == before
    assert artifact.load(tmp_path / "m").config == model.config


def test_damaged_json_is_rewritten_with_the_weights(tmp_path: Path) -> None:
    model = make()
    artifact.save(tmp_path / "m", model)
    for name in (MODEL, TOKENIZER):
        whole = (tmp_path / "m" / name).read_bytes()
        (tmp_path / "m" / name).write_bytes(whole.replace(b"a", b"b", 1))
        artifact.write_weights(tmp_path / "m", model)
        assert (tmp_path / "m" / name).read_bytes() == whole
    assert artifact.load(tmp_path / "m").excerpts == model.excerpts


def test_no_file_of_a_run_contains_its_path(trained: Path, coffee_file: Path) -> None:
    files = [path for path in trained.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {
        *(MODEL, TOKENIZER, WEIGHTS, "run.toml", "resume.safetensors", "splits.json"),
        *("metrics.jsonl", "loss.png", "train.bin", "validation.bin", "test.bin"),
    }
    assert any("tfevents" in path.name for path in files)
    for path in files:
        content = path.read_bytes()
        for place in (trained, trained.parent, coffee_file.parent, Path.home(), Path.cwd()):
            if len(place.parts) > 2:
                assert str(place).encode() not in content, path


def test_a_run_works_where_it_is_moved_to(own_run: Path, trained: Path, coffee: str) -> None:
    moved = own_run.rename(own_run.parent / "somewhere else")
    before, after = artifact.load(trained / "best"), artifact.load(moved / "best")
    np.testing.assert_array_equal(logits_of(after, "The cup"), logits_of(before, "The cup"))
    for folder in ("", "best"):
        figures = json.loads(rondel("eval", moved / folder, "--json").output)
        assert figures == json.loads(rondel("eval", trained / folder, "--json").output)
    assert rondel("train", "--resume", moved, "--steps", 152, "--quiet").exit_code == 0
    assert artifact.read_progress(moved)["step"] == 152
