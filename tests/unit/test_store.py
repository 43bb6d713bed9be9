"""The token store: what goes in comes out, in the smallest type there is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rondel.data.store import Split, TokenStore
from rondel.errors import ModelFolderError


def write(folder: Path, vocab_size: int = 300) -> TokenStore:
    ids = np.random.default_rng(1).integers(0, vocab_size, 1000).astype(np.int32)
    ids[0] = vocab_size - 1
    parts = {
        "train": (Split(0, 1600, 800), ids[:800]),
        "validation": (Split(1600, 2000, 200), ids[800:]),
        "test": (Split(2000, 2000, 0), ids[:0]),
    }
    return TokenStore.write(folder, vocab_size, parts)


@pytest.mark.parametrize(
    ("vocab_size", "width"), [(2, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)]
)
def test_tokens_come_back_in_the_smallest_type(tmp_path: Path, vocab_size: int, width: int) -> None:
    write(tmp_path / "tokens", vocab_size)
    store = TokenStore.open(tmp_path / "tokens")
    expected = np.random.default_rng(1).integers(0, vocab_size, 1000)
    expected[0] = vocab_size - 1
    train = store.tokens("train")
    assert isinstance(train, np.memmap)
    assert not train.flags.writeable
    assert (train.dtype.kind, train.dtype.itemsize) == ("u", width)
    assert (tmp_path / "tokens" / "train.bin").stat().st_size == 800 * width
    np.testing.assert_array_equal(train, expected[:800])
    np.testing.assert_array_equal(store.tokens("validation"), expected[800:])
    assert len(store.tokens("test")) == 0
    assert store.splits["validation"] == Split(1600, 2000, 200)
    assert store.splits["validation"].characters == 400


def test_the_splits_stand_in_json(tmp_path: Path) -> None:
    write(tmp_path / "tokens")
    index = json.loads((tmp_path / "tokens" / "splits.json").read_text())
    assert index["splits"]["train"] == {"begin": 0, "end": 1600, "tokens": 800}
    assert index["dtype"] == "<u2"


def test_a_store_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    with pytest.raises(ModelFolderError, match="tokens is missing"):
        TokenStore.open(folder)
    write(folder)
    whole = (folder / "train.bin").read_bytes()
    (folder / "train.bin").write_bytes(whole[:-2])
    with pytest.raises(ModelFolderError, match=r"train.bin holds 799 tokens and should hold 800"):
        TokenStore.open(folder)
    (folder / "train.bin").unlink()
    with pytest.raises(ModelFolderError, match=r"train.bin is missing"):
        TokenStore.open(folder)
    (folder / "train.bin").write_bytes(whole)
    TokenStore.open(folder)
    page = folder / "splits.json"
    sealed = page.read_text()
    for old, new, reason in (
        ("1600", "1601", "was changed after it was written"),
        ('"<u2"', '"<u4"', "was changed after it was written"),
        ('"train"', '"trein"', "splits.json is damaged"),
        (sealed, "{", "splits.json is damaged"),
        (sealed, "[]", "not a JSON object"),
        (sealed, "[" * 100_000, "nested too deep"),
        (sealed, '{"dtype": ' + "9" * 5000, "splits.json is damaged"),
    ):
        page.write_text(sealed.replace(old, new))
        with pytest.raises(ModelFolderError, match=reason):
            TokenStore.open(folder)


def test_the_page_of_an_earlier_rondel_has_no_sum_of_itself(tmp_path: Path) -> None:
    write(tmp_path / "tokens")
    page = tmp_path / "tokens" / "splits.json"
    index = json.loads(page.read_text())
    del index["whole"]
    page.write_text(json.dumps(index))
    assert TokenStore.open(tmp_path / "tokens").splits["train"] == Split(0, 1600, 800)
    for part, value in (
        ("splits", {**index["splits"], "train": None}),
        ("splits", {"train": index["splits"]["train"]}),
        ("splits", {**index["splits"], "train": {"begin": 9, "end": 1, "tokens": 800}}),
        ("splits", {**index["splits"], "train": {"begin": 0, "end": 1e9, "tokens": 800}}),
        ("splits", [1]),
        ("sha256", None),
        ("dtype", "O"),
        ("dtype", "<f4"),
        ("dtype", []),
    ):
        page.write_text(json.dumps({**index, part: value}))
        with pytest.raises(ModelFolderError, match=r"splits.json is damaged"):
            TokenStore.open(tmp_path / "tokens")


def test_tokens_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    store = write(tmp_path / "tokens")
    store.check_vocabulary(300)
    with pytest.raises(ModelFolderError, match=r"train.bin holds tokens that this model does not"):
        store.check_vocabulary(299)
