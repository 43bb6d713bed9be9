"""Model folders that are damaged, mixed up or no models: refused with the reason."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from _processes import Refuse

import rondel

Damage = Callable[[Path], object]


class Bomb:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, ("exploded",)


def flip(name: str, place: int) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[place] ^= 1
        (folder / name).write_bytes(bytes(data))

    return damage


def cut(name: str, keep: int) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: str) -> Damage:
    return lambda folder: (folder / name).write_text(content)


def edit(name: str, old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / name).read_text()
        assert content.count(old) == 1
        (folder / name).write_text(content.replace(old, new))

    return damage


def pickled(*, as_zip: bool) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "weights.safetensors"
        torch.save({"bomb": Bomb()}, path, _use_new_zipfile_serialization=as_zip)

    return damage


MODEL, TOKENIZER, WEIGHTS = "model.json", "tokenizer.json", "weights.safetensors"
DAMAGES: dict[str, tuple[Damage, list[str]]] = {
    "a byte of the weights changed": (flip(WEIGHTS, -5), [WEIGHTS, "changed or damaged"]),
    "weights truncated": (cut(WEIGHTS, -100), [WEIGHTS, "truncated", "copy it again"]),
    "weights cut to three bytes": (cut(WEIGHTS, 3), [WEIGHTS, "truncated"]),
    "weights empty": (cut(WEIGHTS, 0), [WEIGHTS, "truncated"]),
    "weights missing": (remove(WEIGHTS), [WEIGHTS, "missing", "copy the whole folder"]),
    "weights in a zip of pickles": (pickled(as_zip=True), [WEIGHTS, "pickle", "safetensors only"]),
    "weights in a pickle": (pickled(as_zip=False), [WEIGHTS, "pickle", "safetensors only"]),
    "tokenizer missing": (remove(TOKENIZER), [TOKENIZER, "missing", "copy the whole folder"]),
    "tokenizer truncated": (cut(TOKENIZER, 40), [TOKENIZER, "damaged", "copy it again"]),
    "tokenizer of no kind": (
        write(TOKENIZER, "{}"),
        [TOKENIZER, "not a tokenizer", "copy it again"],
    ),
    "model of another version": (
        edit(MODEL, '"version": 1', '"version": 2'),
        ["format version 2", "reads version 1", "use the rondel that made it"],
    ),
    "another shape": (
        edit(MODEL, '"hidden_size": 8', '"hidden_size": 9'),
        ["weights were not trained with this", "copy the whole folder"],
    ),
    "a nonsense shape": (
        edit(MODEL, '"hidden_size": 8', '"hidden_size": "x"'),
        [MODEL, "--hidden-size", "copy it again"],
    ),
    "an unknown cell": (edit(MODEL, '"lstm"', '"elman"'), [MODEL, "no cell is called 'elman'"]),
    "a list for a cell": (edit(MODEL, '"lstm"', "[[]]"), [MODEL, "no cell is called [[]]"]),
    "description truncated": (cut(MODEL, 50), [MODEL, "damaged", "copy it again"]),
    "description of something else": (write(MODEL, "{}"), [MODEL, "not a rondel model"]),
    "description missing": (remove(MODEL), ["not a model folder", "no model.json"]),
}


def commands(folder: str, text: Path) -> list[list[object]]:
    return [
        ["sample", folder, "-n", "5"],
        ["eval", folder, text],
        ["show", folder],
        ["train", "--resume", folder, "--steps", "9"],
        ["train", text, "--out", "new", "--init-from", folder, "--steps", "1"],
    ]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_by_every_command(
    name: str, model: Path, text: Path, refuse: Refuse
) -> None:
    damage, words = DAMAGES[name]
    damage(model)
    for command in commands("model", text):
        line = refuse(*command)
        for word in words:
            assert word in line
    with pytest.raises(rondel.RondelError):
        rondel.load(model)


def test_a_tokenizer_of_another_model_is_refused(
    model: Path, stranger: Path, text: Path, refuse: Refuse
) -> None:
    own, other = rondel.load(model), rondel.load(stranger)
    assert own.tokenizer.vocab_size == other.tokenizer.vocab_size
    shutil.copy(stranger / TOKENIZER, model / TOKENIZER)
    for command in commands("model", text):
        line = refuse(*command)
        assert "weights were not trained with this model.json and tokenizer.json" in line
        assert "copy the whole folder" in line


def test_weights_of_another_model_are_refused(model: Path, stranger: Path, refuse: Refuse) -> None:
    shutil.copy(stranger / WEIGHTS, model / WEIGHTS)
    assert "weights were not trained with this" in refuse("sample", "model")


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_checkpoint_is_no_model(as_zip: bool, text: Path, tmp_path: Path, refuse: Refuse) -> None:
    path = tmp_path / "model.pt"
    torch.save({"bomb": Bomb()}, path, _use_new_zipfile_serialization=as_zip)
    for command in commands("model.pt", text):
        line = refuse(*command)
        assert "model.pt is a pickle" in line
        assert "safetensors only" in line


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_is_ever_read(protocol: int, model: Path, refuse: Refuse) -> None:
    (model / WEIGHTS).write_bytes(pickle.dumps({"bomb": Bomb()}, protocol))
    assert WEIGHTS in refuse("sample", "model")


NO_MODELS = {
    "nowhere": "nowhere: there is no such folder",
    "file.txt": "file.txt is a file; a model is a folder",
    "notes": "notes is not a model folder: it has no model.json",
}


@pytest.mark.parametrize("place", NO_MODELS)
def test_what_is_no_model_is_refused_by_every_command(
    place: str, text: Path, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "file.txt").write_text("not a folder")
    (tmp_path / "notes").mkdir()
    for command in commands(place, text):
        assert NO_MODELS[place] in refuse(*command)


SNAPSHOT = "resume.safetensors"
RUN_DAMAGES: dict[str, tuple[Damage, list[str]]] = {
    "snapshot changed": (flip(SNAPSHOT, -5), [SNAPSHOT, "changed or damaged", "--init-from"]),
    "snapshot truncated": (cut(SNAPSHOT, -100), [SNAPSHOT, "truncated"]),
    "snapshot missing": (remove(SNAPSHOT), [SNAPSHOT, "cannot be resumed", "--init-from"]),
    "settings missing": (remove("run.toml"), ["run.toml is missing", "--init-from"]),
    "settings broken": (write("run.toml", "[model"), ["run.toml is not a TOML file"]),
    "settings changed": (
        edit("run.toml", "hidden_size = 8", "hidden_size = 9"),
        ["disagree about the model", "undo the change to run.toml"],
    ),
    "tokens missing": (lambda folder: shutil.rmtree(folder / "tokens"), ["tokens is missing"]),
    "tokens truncated": (cut("tokens/train.bin", 100), ["train.bin holds 100 tokens"]),
    "index of tokens broken": (write("tokens/splits.json", "{}"), ["splits.json is damaged"]),
}


@pytest.mark.parametrize("name", RUN_DAMAGES)
def test_a_damaged_run_is_not_resumed_and_is_still_a_model(
    name: str, model: Path, refuse: Refuse
) -> None:
    damage, words = RUN_DAMAGES[name]
    weights = rondel.load(model).weights
    damage(model)
    line = refuse("train", "--resume", "model", "--steps", "9")
    for word in words:
        assert word in line
    loaded = rondel.load(model).weights
    assert all((loaded[name] == array).all() for name, array in weights.items())


def test_only_a_run_is_resumed(model: Path, refuse: Refuse) -> None:
    line = refuse("train", "--resume", "model/best", "--steps", "9")
    assert "model/best is a model but not a run" in line
    assert "--init-from model/best" in line


NO_ROWS = (
    b"[1]",
    b'{"step": 4}',
    b"\xff",
    b"[" * 100_000,
    b'{"step": null, "train_loss": 1.0, "val_loss": 1.0}',
    b'{"step": 4, "train_loss": {}, "val_loss": 1.0}',
    b'{"step": 4, "train_loss": 1.0, "val_loss": "1"}',
    b'{"step": 4, "train_loss": 1.0, "val_loss": 1.0, "kl": []}',
    b'{"step": 4, "train_loss": 1e999, "val_loss": 1.0}',
    b'{"step": ' + b"9" * 5000 + b', "train_loss": 1.0, "val_loss": 1.0}',
    b'{"step": 4, "ep',
)


def test_damaged_metrics_do_not_keep_a_run_from_going_on(model: Path) -> None:
    rows = (model / "metrics.jsonl").read_text()
    (model / "metrics.jsonl").write_bytes(rows.encode() + b"\n".join(NO_ROWS))
    rondel.resume(model, steps=5, quiet=True)
    lines = (model / "metrics.jsonl").read_text().splitlines()
    assert lines[:-1] == rows.splitlines()
    assert '"step": 5,' in lines[-1]
