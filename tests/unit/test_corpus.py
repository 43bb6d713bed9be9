"""A prepared corpus: read once, trained on many times, and refused if it is not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import SMALL, assert_same_arrays, rondel

import rondel as package
from rondel.data.corpus import PreparedCorpus
from rondel.data.store import PARTS, TokenStore
from rondel.errors import InputError, ModelFolderError, RondelError
from rondel.text.tokenizers import tokenizer_to_json, tokenizers

SMALL_FLAGS = [
    part
    for name, value in SMALL.items()
    for part in (f"--{name.replace('_', '-')}", str(value))
    if name != "device"
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, coffee_file: Path) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "corpus"
    done = rondel("prepare", coffee_file, "--out", folder, "--test-fraction", "0.1")
    assert done.exit_code == 0
    assert "16,000 train + 2,000 validation + 2,000 test characters" in done.output
    return folder


def same_run(first: Path, second: Path) -> None:
    for name in ("tokenizer.json", "tokens/splits.json", "tokens/train.bin"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert_same_arrays(package.load(first).weights, package.load(second).weights)


@pytest.mark.parametrize("level", tokenizers)
def test_a_run_on_a_corpus_is_the_run_on_its_text(
    level: str, coffee_file: Path, tmp_path: Path
) -> None:
    done = rondel("prepare", coffee_file, "--out", tmp_path / "corpus", "--level", level, "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    rondel("train", coffee_file, "--level", level, "--out", tmp_path / "a", *SMALL_FLAGS)
    rondel("train", tmp_path / "corpus", "--out", tmp_path / "b", *SMALL_FLAGS)
    same_run(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "corpus")
    more = rondel("train", "--resume", tmp_path / "b", "--steps", "22", "--quiet")
    assert more.exit_code == 0


def test_a_corpus_of_sentences(tmp_path: Path, coffee_file: Path) -> None:
    corpus = package.prepare(coffee_file, tmp_path / "corpus", model="sentence-vae", min_count=1)
    assert corpus.prepared.sentences
    with pytest.raises(InputError, match="was prepared for a sentence VAE, and a language model"):
        package.train(tmp_path / "corpus", steps=1, quiet=True)
    package.train(
        tmp_path / "corpus",
        model="sentence-vae",
        out=tmp_path / "run",
        hidden_size=8,
        steps=2,
        quiet=True,
        threads=1,
    )


def test_tokens_are_linked_to_and_copied_where_they_cannot_be(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rondel("train", corpus, "--out", tmp_path / "linked", *SMALL_FLAGS, "--quiet")
    same = (corpus / "tokens" / "train.bin").stat().st_ino
    assert (tmp_path / "linked" / "tokens" / "train.bin").stat().st_ino == same

    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    rondel("train", corpus, "--out", tmp_path / "copied", *SMALL_FLAGS, "--quiet")
    assert (tmp_path / "copied" / "tokens" / "train.bin").stat().st_ino != same
    same_run(tmp_path / "linked", tmp_path / "copied")


def test_a_known_vocabulary_is_used_as_it_is(
    corpus: Path, trained: Path, tmp_path: Path, prose: str
) -> None:
    (tmp_path / "prose.txt").write_text(prose, encoding="utf-8")
    for number, place in enumerate((corpus, trained)):
        out = tmp_path / f"corpus{number}"
        made = package.prepare(tmp_path / "prose.txt", out, tokenizer_from=place)
        known = package.load(trained).tokenizer
        assert tokenizer_to_json(made.tokenizer) == tokenizer_to_json(known)
        assert made.prepared.unknown["train"] > 0
        ids = np.concatenate([made.store.tokens(name) for name in PARTS])
        np.testing.assert_array_equal(ids, known.encode(prose))
    with pytest.raises(InputError, match=r"level is 'char' in .*, not 'word'; leave it out"):
        package.prepare(tmp_path / "prose.txt", tmp_path / "x", tokenizer_from=corpus, level="word")


def test_another_model_is_trained_on_from_a_corpus(
    corpus: Path, trained: Path, tmp_path: Path
) -> None:
    done = rondel("train", corpus, "--init-from", trained, "--steps", "2", "--out", tmp_path / "x")
    assert "tokens known" in done.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--level", "word"), "--level is 'char' in what this run starts from, not 'word'"),
        (("--charset", "ascii"), "--charset is 'text' in what this run starts from"),
        (("--validation-fraction", "0.3"), "--validation-fraction is 0.1 in what this run"),
        (("--model", "sentence-vae"), "give --model language-model, or prepare it with"),
    ],
)
def test_other_settings_than_the_corpus_has_are_refused(
    corpus: Path, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RondelError) as refused:
        rondel("train", corpus, *flags, "--out", tmp_path / "run", "--steps", "1")
    assert message in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_corpus_stands_alone(corpus: Path, coffee_file: Path) -> None:
    with pytest.raises(InputError, match="is a prepared corpus, which stands alone"):
        package.train([corpus, coffee_file], steps=1)


def test_a_corpus_that_is_not_whole_is_refused_in_one_line(corpus: Path, tmp_path: Path) -> None:
    files = [path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file()]
    assert len(files) == 6
    for name in files:
        copy = Path(shutil.copytree(corpus, tmp_path / f"without {name.name}"))
        whole = (copy / name).read_bytes()
        (copy / name).unlink()
        if name.name != "corpus.json":  # without which it is a folder like any other
            with pytest.raises(ModelFolderError, match=f"{name.name} is missing"):
                PreparedCorpus.open(copy)
        (copy / name).write_bytes(whole[:-3])
        with pytest.raises(ModelFolderError):
            PreparedCorpus.open(copy)
        (copy / name).write_bytes(whole.replace(b"1", b"2").replace(b"\x05", b"\x06"))
        if (copy / name).read_bytes() != whole:
            with pytest.raises(ModelFolderError) as refused:
                PreparedCorpus.open(copy)
            assert "\n" not in str(refused.value)
    later = Path(shutil.copytree(corpus, tmp_path / "later"))
    values = json.loads((later / "corpus.json").read_text())
    (later / "corpus.json").write_text(json.dumps({**values, "format": 2}))
    with pytest.raises(ModelFolderError, match="has format 2, and this rondel reads 1"):
        PreparedCorpus.open(later)


def test_files_of_two_corpora_are_refused(corpus: Path, tmp_path: Path, coffee_file: Path) -> None:
    package.prepare(coffee_file, tmp_path / "ascii", charset="ascii", test_fraction=0.1)
    shutil.copy(corpus / "tokenizer.json", tmp_path / "ascii" / "tokenizer.json")
    with pytest.raises(ModelFolderError, match="or its files are of two corpora"):
        PreparedCorpus.open(tmp_path / "ascii")


def test_a_folder_that_is_taken_is_left_alone(
    corpus: Path, coffee_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"is there already; .* or replace it with --overwrite"):
        rondel("prepare", coffee_file, "--out", corpus)
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match=r"is there already; name another --out$"):
        rondel("prepare", coffee_file, "--out", tmp_path / "mine", "--overwrite")
    own = Path(shutil.copytree(corpus, tmp_path / "own"))
    rondel("prepare", coffee_file, "--out", own, "--overwrite", "--level", "byte", "--quiet")
    assert PreparedCorpus.open(own).tokenizer.level == "byte"
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match="is empty"):
        rondel("prepare", tmp_path / "empty.txt", "--out", own, "--overwrite")
    assert PreparedCorpus.open(own).tokenizer.level == "byte"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.txt", "mine", "own"]
    assert TokenStore.open(own / "tokens").splits["train"].tokens
