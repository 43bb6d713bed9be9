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
    with pytest.raises(ModelFolderError, match=r"train.bin cannot be read"):
        TokenStore.open(folder)
    (folder / "train.bin").write_bytes(whole)
    TokenStore.open(folder)
    for damaged in ("{", "[]", '{"dtype": "<u2"}', '{"dtype": "<u2", "splits": {"a": 1}}'):
        (folder / "splits.json").write_text(damaged)
        with pytest.raises(ModelFolderError, match=r"splits.json is damaged"):
            TokenStore.open(folder)
