"""A model's own vectors: written, read again by rondel and by gensim, and their neighbours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from _runs import rondel, train
from _settings import text_config
from gensim.models import KeyedVectors

from rondel import Model, artifact, load
from rondel.api.load import model_of as made_of
from rondel.errors import InputError
from rondel.text.tokenizers import tokenizers, train_tokenizer
from rondel.text.word2vec import escaped, unescaped
from rondel.text.word_vectors import WordVectors, load_word_vectors

TEXT = 'The dog,  "hello" (the dog)\n\n\tthe <unk> zebra \N{LINE SEPARATOR}<U+000A> é.\n' * 40


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word model of a text with all that a word can be."""
    folder = tmp_path_factory.mktemp("vectors") / "words"
    train(folder, TEXT, level="word", min_count=1, word_split="spaces", steps=2, batch_size=2)
    return folder


def model_of(level: str, like: Path) -> Model:
    """A model of another level, its embedding drawn at random."""
    parts = artifact.load(like)
    tokenizer = train_tokenizer(TEXT, text_config(level=level, min_count=1))
    rng = np.random.default_rng(1)
    table = rng.normal(size=(tokenizer.vocab_size, 5)).astype(np.float32)
    weights = {**parts.weights, "embedding.weight": table}
    return made_of(dataclasses.replace(parts, tokenizer=tokenizer, weights=weights))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("level", list(tokenizers))
def test_every_vocabulary_comes_back_exactly(
    tmp_path: Path, words: Path, level: str, binary: bool
) -> None:
    vectors = model_of(level, words).vectors()
    path = tmp_path / "vectors.w2v"
    vectors.save(path, binary=binary)
    again = load_word_vectors(path)
    assert again.words == vectors.words
    np.testing.assert_array_equal(again.array, vectors.array)
    gensim = KeyedVectors.load_word2vec_format(str(path), binary=binary)
    assert gensim.index_to_key == list(map(escaped, vectors.words))
    np.testing.assert_array_equal(gensim.vectors, vectors.array)
    # And what gensim writes of it in turn is the same again.
    gensim.save_word2vec_format(str(path), binary=binary)
    assert load_word_vectors(path).words == vectors.words


def test_spellings_that_no_file_could_hold_are_escaped() -> None:
    for token in ("\n", "\n\n", " ", "\t", "a b", "\u2028", "\ud800", "\0", "<U+000A>", "<U+003C>"):
        written = escaped(token)
        assert unescaped(written) == token
        assert not any(c.isspace() for c in written)
        written.encode()
    assert escaped("\n") == "<U+000A>"
    for token in ("<unk>", "￭,", "<U+FFED", "don't", "<b>"):
        assert escaped(token) == token


def test_a_run_starts_from_what_was_written(tmp_path: Path, words: Path) -> None:
    path = tmp_path / "vectors.txt"
    load(words).vectors().save(path)
    run = train(
        tmp_path / "run", TEXT, word_vectors=path, min_count=1, word_split="spaces", steps=1,
        batch_size=2, freeze_embedding=True,
    )  # fmt: skip
    before, after = load(words), made_of(artifact.load(tmp_path / "run"))
    assert run.notes[-1].startswith(f"word vectors for {after.tokenizer.vocab_size:,} of ")
    rows = {before.tokenizer.token(i): i for i in range(before.tokenizer.vocab_size)}
    order = [rows[after.tokenizer.token(i)] for i in range(after.tokenizer.vocab_size)]
    expected = before.weights["embedding.weight"][order]
    np.testing.assert_array_equal(after.weights["embedding.weight"], expected)


VECTORS = WordVectors(
    ["one", "near", "far", "￭,", "none"],
    np.array([[1, 0], [2, 1], [-3, 0], [0, 5], [0, 0]], np.float32),
)


def test_neighbours_are_by_cosine_nearest_first() -> None:
    found = VECTORS.nearest("one")
    assert [word for word, _ in found] == ["near", "￭,", "none", "far"]
    assert [cosine for _, cosine in found] == pytest.approx([2 / 5**0.5, 0, 0, -1])
    assert VECTORS.nearest("one", np.int64(1)) == found[:1]  # type: ignore[arg-type]
    assert VECTORS.nearest(",") == VECTORS.nearest("￭,")
    assert VECTORS.nearest("ONE") == found


def test_words_without_neighbours_are_refused() -> None:
    with pytest.raises(InputError, match="no vector for 'two'"):
        VECTORS.nearest("two")
    with pytest.raises(InputError, match="the number of neighbours must be a whole number of at"):
        VECTORS.nearest("one", 0)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("", "is a folder"), ("none/v.txt", "folder that does not exist"), ("v.gz", "uncompressed")],
)
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        VECTORS.save(tmp_path / name)


def test_one_hot_input_has_no_vectors(tmp_path: Path) -> None:
    train(tmp_path / "run", TEXT, embedding_size=0, steps=1, batch_size=2)
    with pytest.raises(InputError, match=r"one-hot input and so no embedding.*--embedding-size"):
        rondel("vectors", tmp_path / "run")


def test_the_command_writes_and_lists(tmp_path: Path, words: Path) -> None:
    vectors = load(words).vectors()
    printed = rondel("vectors", words)
    assert printed.stdout_bytes == rondel("vectors", words).stdout_bytes
    path = tmp_path / "v.txt"
    assert "vectors of 8 numbers in " in rondel("vectors", words, "--out", path).stderr
    assert path.read_bytes() == printed.stdout_bytes
    rondel("vectors", words, "--out", path, "--overwrite", "--binary")
    np.testing.assert_array_equal(load_word_vectors(path).array, vectors.array)
    listed = rondel("vectors", words, "--neighbors", "zebra", "--neighbors", "<U+000A><U+000A>",
                    "--count", 2)  # fmt: skip
    rows = [line.split("\t") for line in listed.stdout.rstrip("\n").split("\n")]
    assert rows[0] == ["word", "neighbor", "cosine"]
    assert [row[0] for row in rows[1:]] == ["zebra"] * 2 + ["<U+000A><U+000A>"] * 2
    assert float(rows[1][2]) == pytest.approx(vectors.nearest("zebra")[0][1])
