"""A prepared corpus: read once, trained on many times, and refused if it is not whole."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import SMALL, rondel

import rondel as package
from rondel.data.corpus import PreparedCorpus
from rondel.data.sources import source_of
from rondel.data.store import PARTS, TokenStore
from rondel.errors import InputError, ModelFolderError, RondelError
from rondel.text.tokenizers import tokenizer_to_json, tokenizers
from rondel.text.tokenizers.subword import SubwordSettings, SubwordTokenizer
from rondel.training.run import Run
from rondel.training.start import begin, configure
from rondel.training.warm_start import warm_start_from


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, coffee_file: Path) -> Path:
    folder = tmp_path_factory.mktemp("corpora") / "corpus"
    done = rondel("prepare", coffee_file, "--out", folder, "--test-fraction", "0.1")
    assert done.exit_code == 0
    assert re.search(r"corpus: [\d,]+ train \+ [\d,]+ validation \+ [\d,]+ test char", done.output)
    return folder


def begun(source: Path, folder: Path, **settings: Any) -> Run:
    """A run on files or a corpus, about to take its first step."""
    read = source_of([str(source)])
    run = begin(read, configure({**SMALL, **settings}, source=read), folder)
    run.close()
    return run


@pytest.mark.parametrize("level", tokenizers)
def test_a_run_on_a_corpus_is_the_run_on_its_text(
    level: str, coffee_file: Path, tmp_path: Path
) -> None:
    package.prepare(coffee_file, tmp_path / "corpus", level=level)
    one = begun(coffee_file, tmp_path / "one", level=level)
    two = begun(tmp_path / "corpus", tmp_path / "two")
    for name in ("tokenizer.json", "model.json", "tokens/splits.json", "tokens/train.bin"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    assert one.config == two.config
    assert one.notes == two.notes


def test_a_run_needs_its_corpus_no_more(coffee_file: Path, tmp_path: Path) -> None:
    package.prepare(coffee_file, tmp_path / "corpus")
    few = ("--steps", "2", "--hidden-size", "8", "--backend", "numpy", "--quiet")
    assert rondel("train", tmp_path / "corpus", "--out", tmp_path / "run", *few).exit_code == 0
    shutil.rmtree(tmp_path / "corpus")
    more = rondel("train", "--resume", tmp_path / "run", "--steps", "4", "--quiet")
    assert (more.exit_code, more.output) == (0, "")


def test_a_corpus_of_sentences(tmp_path: Path, coffee_file: Path) -> None:
    corpus = package.prepare(coffee_file, tmp_path / "corpus", model="sentence-vae", min_count=1)
    assert corpus.prepared.sentences
    with pytest.raises(InputError, match="was prepared for a sentence VAE, and a language model"):
        begun(tmp_path / "corpus", tmp_path / "run")
    run = begun(tmp_path / "corpus", tmp_path / "run", model="sentence-vae")
    assert run.store.splits == corpus.store.splits


def test_tokens_are_linked_to_and_copied_where_they_cannot_be(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = begun(corpus, tmp_path / "linked").folder / "tokens" / "train.bin"
    assert linked.samefile(corpus / "tokens" / "train.bin")

    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    copied = begun(corpus, tmp_path / "copied").folder / "tokens" / "train.bin"
    assert not copied.samefile(linked)
    assert copied.read_bytes() == linked.read_bytes()


def test_a_known_vocabulary_is_used_as_it_is(
    corpus: Path, trained: Path, tmp_path: Path, prose: str
) -> None:
    (tmp_path / "prose.txt").write_text(prose, encoding="utf-8")
    for number, place in enumerate((corpus, trained)):
        out = tmp_path / f"corpus{number}"
        made = package.prepare(tmp_path / "prose.txt", out, tokenizer=place)
        known = package.load(trained).tokenizer
        assert tokenizer_to_json(made.tokenizer) == tokenizer_to_json(known)
        assert made.prepared.unknown["train"] > 0
        ids = np.concatenate([made.store.tokens(name) for name in PARTS])
        np.testing.assert_array_equal(ids, known.encode(prose))
    with pytest.raises(InputError, match=r"--level is 'char' in .*, not 'word'; leave that"):
        package.prepare(tmp_path / "prose.txt", tmp_path / "x", tokenizer=corpus, level="word")


def test_a_tokenizer_of_others_is_used_as_it_is(
    tmp_path: Path, coffee_file: Path, coffee: str
) -> None:
    theirs = SubwordTokenizer.train(coffee, SubwordSettings(vocab_size=300))
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(theirs.state()), encoding="utf-8")
    out = tmp_path / "corpus"
    done = rondel("prepare", coffee_file, "--out", out, "--tokenizer", file)
    assert f"tokenizer of {file}: 300 subwords" in done.output.splitlines()
    made = PreparedCorpus.open(out)
    ids = np.concatenate([made.store.tokens(name) for name in PARTS])
    np.testing.assert_array_equal(ids, theirs.encode(coffee))


def test_a_corpus_of_another_tokenizer_is_refused(corpus: Path, tmp_path: Path, prose: str) -> None:
    (tmp_path / "prose.txt").write_text(prose, encoding="utf-8")
    package.prepare(tmp_path / "prose.txt", tmp_path / "other")
    others: dict[str, Any] = {"tokenizer": tmp_path / "other", "out": tmp_path / "out"}
    said = r"the corpus was prepared with another tokenizer than that of .*other; leave"
    with pytest.raises(InputError, match=said):
        package.train(corpus, steps=1, quiet=True, **others)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "prose.txt"]


def test_another_model_is_trained_on_from_a_corpus(
    corpus: Path, trained: Path, tmp_path: Path
) -> None:
    read, start = source_of([str(corpus)]), warm_start_from(trained, None)
    config = configure({"steps": 2, "device": "cpu"}, warm_start=start, source=read)
    run = begin(read, config, tmp_path / "run", warm_start=start)
    run.close()
    assert "tokens known" in run.notes[-1]


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
    with pytest.raises(InputError, match="is a prepared corpus, to be used alone"):
        package.train([corpus, coffee_file], steps=1)


def test_a_corpus_is_not_prepared_again(corpus: Path, tmp_path: Path) -> None:
    """It would keep its tokenizer, whatever is asked for."""
    with pytest.raises(InputError, match="is a prepared corpus already: train on it, or"):
        rondel("prepare", corpus, "--level", "byte", "--out", tmp_path / "bytes")
    assert not (tmp_path / "bytes").exists()


def test_documents_too_few_to_divide_are_reported(coffee_file: Path, tmp_path: Path) -> None:
    flags = ("--documents", "file", "--test-fraction", "0.1")
    done = rondel("prepare", coffee_file, *flags, "--out", tmp_path / "corpus")
    for name in ("validation", "test"):
        assert f"no {name}: 1 document is too few to divide; give more, or leave" in done.output


def test_a_corpus_that_is_not_whole_is_refused_in_one_line(corpus: Path, tmp_path: Path) -> None:
    files = [path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file()]
    assert len(files) == 6
    for name in files:
        copy = Path(shutil.copytree(corpus, tmp_path / f"without {name.name}"))
        whole = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(ModelFolderError, match=f"{name.name} is missing"):
            source_of([str(copy)])
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
