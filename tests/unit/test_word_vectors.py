from __future__ import annotations

import gzip
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gensim.models.keyedvectors as gensim_vectors
import numpy as np
import pytest
from _settings import text_config
from gensim.models import KeyedVectors, Word2Vec

from rondel.errors import InputError
from rondel.text.tokenizers import train_tokenizer
from rondel.text.word_vectors import Coverage, embedding_from_vectors, load_word_vectors

WORDS = ["the", "dog", ",", "Ünïcode", "hello"]
MATRIX = np.random.default_rng(5).normal(size=(5, 4)).astype(np.float32)


def keyed(words: list[str] = WORDS, matrix: Any = MATRIX) -> Any:
    vectors = KeyedVectors(matrix.shape[1])
    vectors.add_vectors(words, matrix)
    return vectors


def write_text(path: Path) -> None:
    keyed().save_word2vec_format(str(path), binary=False)


def write_binary(path: Path) -> None:
    keyed().save_word2vec_format(str(path), binary=True)


def write_glove(path: Path) -> None:
    keyed().save_word2vec_format(str(path), binary=False, write_header=False)


def write_native(path: Path) -> None:
    keyed().save(str(path))


def write_native_with_arrays_beside(path: Path) -> None:
    keyed().save(str(path), separately=["vectors"])
    assert Path(f"{path}.vectors.npy").exists()


def write_native_as_python_2_read_it(path: Path) -> None:
    keyed().save(str(path), pickle_protocol=2)


FORMATS = [
    write_text,
    write_binary,
    write_glove,
    write_native,
    write_native_with_arrays_beside,
    write_native_as_python_2_read_it,
]


# A name that says nothing, since the content has to.
@pytest.mark.parametrize("name", ["vectors", "a b.txt", "vectors.bin"])
@pytest.mark.parametrize("write", FORMATS)
def test_every_format_gives_the_same_vectors(
    tmp_path: Path, write: Callable[[Path], None], name: str
) -> None:
    write(tmp_path / name)
    vectors = load_word_vectors(tmp_path / name)
    assert vectors.words == WORDS
    assert vectors.size == 4
    assert vectors.array.dtype == np.float32
    np.testing.assert_allclose(vectors.array, MATRIX, atol=1e-6)


@pytest.mark.parametrize("write", [write_text, write_binary, write_glove, write_native])
def test_compressed_files(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "plain")
    path = tmp_path / "vectors.gz"
    path.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    assert load_word_vectors(path).words == WORDS


def test_a_word_with_spaces_takes_the_last_fields_as_numbers(tmp_path: Path) -> None:
    """As `. . .` and `at name@domain.com` in the GloVe vectors of Common Crawl."""
    path = tmp_path / "vectors.txt"
    lines = b". . . 0.1 0.2\nat name@domain.com -1 2e-3 \ncatch 22 0.5 0.25\ndog 1.5 -.5\n"
    for header in (b"", b"4 2\n"):
        path.write_bytes(header + lines)
        vectors = load_word_vectors(path)
        assert vectors.words == [". . .", "at name@domain.com", "catch 22", "dog"]
        expected = np.array([[0.1, 0.2], [-1, 0.002], [0.5, 0.25], [1.5, -0.5]], np.float32)
        np.testing.assert_array_equal(vectors.array, expected)


def test_no_byte_spoilt_makes_a_text_file_binary(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    write_text(path)
    whole = path.read_bytes()
    for place in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:place] + b"\xe9" + whole[place + 1 :])
        with pytest.raises(InputError, match=r"line \d+ |announces"):
            load_word_vectors(path)


def test_of_equal_words_the_first_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(b"3 2\na 1 2\nb 3 4\na 5 6\n")
    vectors = load_word_vectors(path)
    assert vectors.words == ["a", "b"]
    np.testing.assert_array_equal(vectors.array, [[1, 2], [3, 4]])


def test_a_native_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked is what is used: gensim is not asked to open the file again."""
    monkeypatch.setattr(KeyedVectors, "load", None)
    monkeypatch.setattr(gensim_vectors.utils, "unpickle", None)
    write_native_with_arrays_beside(tmp_path / "vectors.kv")
    np.testing.assert_array_equal(load_word_vectors(tmp_path / "vectors.kv").array, MATRIX)


def test_vectors_that_gensim_trained(tmp_path: Path) -> None:
    sentences = [["the", "dog", "runs"], ["a", "dog", "sleeps"]] * 5
    model = Word2Vec(sentences, vector_size=6, min_count=1, workers=1, epochs=1)
    path = tmp_path / "trained.kv"
    model.wv.save(str(path))
    vectors = load_word_vectors(path)
    np.testing.assert_array_equal(vectors.array[vectors.rows["dog"]], model.wv["dog"])


def test_vectors_of_gensim_3_and_numpy_1(tmp_path: Path) -> None:
    old = keyed()
    state = vars(old)
    state["index2word"] = state.pop("index_to_key")
    state["vocab"] = {
        word: gensim_vectors.Vocab(index=row, count=9 - row)
        for word, row in state.pop("key_to_index").items()
    }
    for name in ("next_index", "expandos", "norms"):
        del state[name]
    path = tmp_path / "old.kv"
    data = pickle.dumps(old, protocol=2)
    assert b"cnumpy._core.multiarray\n" in data
    path.write_bytes(
        data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n").replace(
            b"keyedvectors\nKeyedVectors\n", b"keyedvectors\nWord2VecKeyedVectors\n"
        )
    )
    vectors = load_word_vectors(path)
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.array, MATRIX)


class Exploit:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (exec, (f"import pathlib; pathlib.Path({str(self.target)!r}).touch()",))


def test_a_pickle_that_would_run_code_is_refused_unread(tmp_path: Path) -> None:
    target, path = tmp_path / "was-here", tmp_path / "vectors.kv"
    for data in (
        pickle.dumps(Exploit(target)),
        pickle.dumps([keyed(), Exploit(target)], protocol=2).replace(b"builtins", b"__builtin__"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"a pickle that would import \S+\.exec, which"):
            load_word_vectors(path)
        assert not target.exists()
        pickle.loads(data)
        assert target.exists(), "the exploit itself must work, or this shows nothing"
        target.unlink()
    path.write_bytes(pickle.dumps(Exploit(target), protocol=0))
    with pytest.raises(InputError, match="holds no word vectors"):
        load_word_vectors(path)
    assert not target.exists()


@pytest.mark.parametrize("attribute", ["__scipys", "__recursive_saveloads"])
def test_a_pickle_beside_the_pickle_is_not_opened(tmp_path: Path, attribute: str) -> None:
    vectors = keyed()
    vars(vectors)[attribute] = ["part"]
    target, path = tmp_path / "was-here", tmp_path / "vectors.kv"
    path.write_bytes(pickle.dumps(vectors))
    Path(f"{path}.part.npy").write_bytes(pickle.dumps(Exploit(target)))
    Path(f"{path}.part").write_bytes(pickle.dumps(Exploit(target)))
    with pytest.raises(InputError, match="further pickles beside it"):
        load_word_vectors(path)
    assert not target.exists()


def test_an_array_beside_the_pickle_must_be_no_pickle(tmp_path: Path) -> None:
    target, path = tmp_path / "was-here", tmp_path / "vectors.kv"
    write_native_with_arrays_beside(path)
    Path(f"{path}.vectors.npy").write_bytes(pickle.dumps(Exploit(target)))
    with pytest.raises(InputError, match="cannot be read as word vectors"):
        load_word_vectors(path)
    assert not target.exists()


class ForgedArray:
    """Unpickles to an array of objects at addresses that the file chose."""

    def __reduce__(self) -> Any:
        return (np.ndarray, ((1,), np.dtype("i8"), b"\x08" * 8))


@pytest.mark.parametrize(
    ("forged", "message"),
    [(ForgedArray(), "no pickle has need for"), (np.array([None]), "array of object")],
)
def test_an_array_of_addresses_is_refused(tmp_path: Path, forged: Any, message: str) -> None:
    vectors = keyed()
    vectors.norms = forged
    path = tmp_path / "vectors.kv"
    path.write_bytes(pickle.dumps(vectors))
    with pytest.raises(InputError, match=message):
        load_word_vectors(path)


def test_a_whole_model_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    model = Word2Vec([["a", "b"]] * 5, vector_size=4, min_count=1, workers=1, epochs=1)
    path = tmp_path / "whole.model"
    model.save(str(path))
    with pytest.raises(
        InputError, match=r"import gensim\.models\.word2vec\.Word2Vec.*save model\.wv"
    ):
        load_word_vectors(path)


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.kv"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(InputError, match="holds no word vectors but a pickled list"):
        load_word_vectors(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no word vectors"),
        (b"just some prose, nothing else\n", "holds no word vectors"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "holds no word vectors"),
        (b"2 3\na 1 2 3\n", "cut short|announces 2 vectors and has 1"),
        (b"3 3\na 1.5 2.5 3.5\nb 1.5 2.5 3.5\n", "announces 3 vectors and has 2"),
        (b"1 3\na 1 2 3\nb 1 2 3\n", "announces 1 vectors and has 2"),
        (b"2 3\na 1 2 3\nb 0.5555\n", "line 3 has 1 numbers instead of 3"),
        (b"2 3\na 1 2 3\nb 1.5 2 3 4\n", "line 3 has 4 numbers instead of 3"),
        (b"a 1 2 3\nb 1 2\n", "line 2 has 2 numbers instead of 3"),
        (b"2 3\na 1 2\nb 1 2 3\n", "line 2 has 2 numbers instead of 3"),
        (b"2 3\na 1 2 3\nb 1 x 3\n", "line 3 has 'x' for a number"),
        (b"2 3\na 1 \xe9 3\nb 1 2 3\n", r"line 2 has '\\xe9' for a number"),
        (b"2 3\ncaf\xe9 1 2 3\nb 1 2 3\n", r"line 2 is not UTF-8 \(byte 0xe9\)"),
        (b"2 3\na 1 2 3\ncaf\xe9 1 2 3\n", r"line 3 is not UTF-8 \(byte 0xe9\)"),
        (b"a 1 2 3\ncaf\xe9 1 2 3\n", r"line 2 is not UTF-8 \(byte 0xe9\)"),
        (b"1 1\na \x00\x00\x80?b", "has more than the 1 vectors it announces"),
        (b"9 9999999999\na \x00\x00\x80?", "announces 9 vectors of 9,999,999,999 numbers"),
        (b"2 3\na 1 2 3\nb 1 nan 3\n", "the vector of 'b' is not finite"),
        (b"99999999999 300\na 1 2 3\n", "line 2 has 3 numbers instead of 300"),
        (b"99999999999 3\na 1 2 3\n", "cut short: it announces 99,999,999,999 vectors and has 1"),
        (b"0 3\n", "is damaged"),
    ],
)
def test_a_damaged_text_file_is_one_clear_error(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        load_word_vectors(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


# Where no header says how many words there are, fewer of them are a file as good as any.
@pytest.mark.parametrize("write", [write for write in FORMATS if write is not write_glove])
def test_every_truncation_is_one_clear_error(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "vectors"
    write(path)
    whole = path.read_bytes()
    # The last digits of the last number of a text are not missed.
    for length in range(0, len(whole) - 25, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as caught:
            load_word_vectors(path)
        assert "\n" not in str(caught.value)


def test_a_missing_array_or_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vectors.kv"
    with pytest.raises(InputError, match="there is no such file of word vectors"):
        load_word_vectors(path)
    write_native_with_arrays_beside(path)
    Path(f"{path}.vectors.npy").unlink()
    with pytest.raises(InputError, match=r"vectors\.kv\.vectors\.npy"):
        load_word_vectors(path)
    shutil.copy(Path(__file__), path)
    with pytest.raises(InputError):
        load_word_vectors(path)


TEXT = 'The dog, "hello" the dog the zebra.'


def test_an_embedding_takes_the_rows_of_the_words_found(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    write_text(path)
    vectors = load_word_vectors(path)
    tokenizer = train_tokenizer(TEXT, text_config(level="word", min_count=1))
    initial = np.full((tokenizer.vocab_size, 4), 9, np.float32)
    counts = np.bincount(tokenizer.encode(TEXT), minlength=tokenizer.vocab_size)
    matrix, coverage = embedding_from_vectors(vectors, tokenizer, initial, counts)
    # Joiners are stripped, and "The" falls back to "the"; the rest keeps its row.
    expected = {"the": 0, "The": 0, "dog": 1, "￭,": 2, "hello": 4}
    for i in range(tokenizer.vocab_size):
        row = expected.get(tokenizer.token(i))
        wanted = np.full(4, 9) if row is None else vectors.array[row]
        np.testing.assert_array_equal(matrix[i], wanted)
    assert (initial == 9).all()
    assert coverage == Coverage(found=5, total=10, of_text=7 / 11)
    assert str(coverage) == "word vectors for 5 of 10 tokens (50.0%; 63.6% of the text)"
    _, uncounted = embedding_from_vectors(vectors, tokenizer, initial)
    assert str(uncounted) == "word vectors for 5 of 10 tokens (50.0%)"


def test_the_exact_spelling_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    keyed(["the", "The"], MATRIX[:2]).save_word2vec_format(str(path), binary=True)
    tokenizer = train_tokenizer("The the THE", text_config(level="word", min_count=1))
    matrix, _ = embedding_from_vectors(
        load_word_vectors(path), tokenizer, np.zeros((4, 4), np.float32)
    )
    by_token = {tokenizer.token(i): matrix[i] for i in range(4)}
    np.testing.assert_array_equal(by_token["The"], MATRIX[1])
    np.testing.assert_array_equal(by_token["the"], MATRIX[0])
    np.testing.assert_array_equal(by_token["THE"], MATRIX[0])


def test_vectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    write_text(path)
    vectors = load_word_vectors(path)
    words = train_tokenizer(TEXT, text_config(level="word", min_count=1))
    with pytest.raises(InputError, match="have 4 numbers each, and --embedding-size is 7"):
        embedding_from_vectors(vectors, words, np.zeros((words.vocab_size, 7), np.float32))
    characters = train_tokenizer(TEXT, text_config())
    with pytest.raises(InputError, match="word vectors need --level word, not char"):
        embedding_from_vectors(vectors, characters, np.zeros((characters.vocab_size, 4)))
    others = train_tokenizer("жук и кит", text_config(level="word", min_count=1))
    with pytest.raises(InputError, match="none of the text's words has a word vector"):
        embedding_from_vectors(vectors, others, np.zeros((others.vocab_size, 4)))
