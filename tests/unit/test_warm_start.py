"""Starting from another model or from word vectors: rows are matched by token, never by index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import logits_of, start, train
from gensim.models import KeyedVectors

import rondel
from rondel.errors import InputError
from rondel.training.run import Run

INPUTS: dict[str, dict[str, Any]] = {
    "one-hot": {"embedding_size": 0},
    "embedding": {"embedding_size": 8},
    "tied": {"embedding_size": 16, "tie_weights": True},
}
OLD = "deft beet fed\n" * 60
# `a` and `c` come before, `z` after, and `!` before all of the old characters.
NEW = "a cafe feted! z bee\n" * 60


def ids(run: Any) -> dict[str, int]:
    return {run.tokenizer.token(i): i for i in range(run.tokenizer.vocab_size)}


@pytest.mark.parametrize("backend", ["torch", "numpy"])
@pytest.mark.parametrize("inputs", INPUTS)
def test_rows_of_characters_go_where_the_new_vocabulary_has_them(
    inputs: str, backend: str, tmp_path: Path
) -> None:
    train(tmp_path / "old", OLD, learning_rate=0.02, batch_size=2, **INPUTS[inputs])
    old = rondel.load(tmp_path / "old")
    new = start(tmp_path / "new", NEW, tmp_path / "old", backend=backend, batch_size=2)
    weights, here, there = new.learner.weights(), ids(new), ids(old)
    known, added = there.keys() & here.keys(), here.keys() - there.keys()
    assert added == {"a", "c", "!", "z"}
    assert known == there.keys()  # what the old model knew stays known
    assert here["e"] != there["e"]

    by_token = {name for name in weights if name.startswith(("embedding.", "head."))}
    rows = {name: (weights[name], old.weights[name]) for name in by_token}
    if inputs == "one-hot":
        name = "core.weight_ih_l0"
        rows[name] = (weights[name].T, old.weights[name].T)
    for name, (after, before) in rows.items():
        for token in known:
            np.testing.assert_array_equal(after[here[token]], before[there[token]], err_msg=name)
        for token in added:
            np.testing.assert_allclose(after[here[token]], before.mean(axis=0), atol=1e-6)
    for name in weights.keys() - rows.keys():
        np.testing.assert_array_equal(weights[name], old.weights[name])
    assert new.notes == [
        f"from {tmp_path / 'old'}: {len(known)} of {len(here)} tokens known; new: '!' 'a' 'c' 'z'"
    ]
    # So it says of old text what it said.
    started = rondel.load(tmp_path / "new")
    columns = [here[token] for token in there]
    np.testing.assert_allclose(
        logits_of(started, "feed bed\n")[:, columns], logits_of(old, "feed bed\n"), atol=1e-5
    )


def test_rows_of_words_go_where_the_new_vocabulary_has_them(tmp_path: Path) -> None:
    old_run = train(
        tmp_path / "old", "the cup and the bean and the jug\n" * 40, level="word", batch_size=2,
        embedding_size=16, tie_weights=True, learning_rate=0.02,
    )  # fmt: skip
    new = start(
        tmp_path / "new", "jug jug jug bean or cup or spoon spoon\n" * 40, tmp_path / "old",
        level="word", batch_size=2,
    )  # fmt: skip
    here, there = ids(new), ids(old_run)
    assert here.keys() - there.keys() == {"or", "spoon"}
    after, before = new.learner.weights(), old_run.learner.weights()
    for token, row in there.items():
        np.testing.assert_array_equal(
            after["embedding.weight"][here[token]], before["embedding.weight"][row]
        )
    assert new.notes[-1].endswith("7 of 9 tokens known; new: 'or' 'spoon'")


def test_the_same_text_needs_no_new_tokens_and_goes_on_from_there(
    trained: Path, tmp_path: Path, coffee: str
) -> None:
    old = rondel.load(trained)
    new = start(tmp_path / "new", coffee, trained)
    size = old.config.vocab_size
    assert new.notes == [f"from {trained}: {size} of {size} tokens known"]
    assert new.config.model.hidden_size == 32
    loss = new.learner.validate(new.store.tokens("validation"))
    assert loss < old.progress["val_loss"] + 0.5
    assert new.progress.step == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"hidden_size": 64},
            "--hidden-size is 32 in what this run starts from, not 64; leave that setting out",
        ),
        ({"cell": "gru"}, "--cell is 'lstm' in what this run starts from, not 'gru'"),
        ({"level": "word"}, "--level is 'char' in what this run starts from, not 'word'"),
        ({"tie_weights": True}, "--tie-weights is False in what this run starts from, not True"),
    ],
)
def test_a_setting_against_the_old_model_is_refused(
    settings: dict[str, Any], message: str, trained: Path, tmp_path: Path, coffee: str
) -> None:
    with pytest.raises(InputError) as refused:
        rondel.train(text=coffee, init_from=trained, out=tmp_path / "new", steps=1, **settings)
    assert str(refused.value).startswith(message)
    assert not (tmp_path / "new").exists()


def test_settings_that_agree_or_are_free_are_taken(
    trained: Path, tmp_path: Path, coffee: str
) -> None:
    new = start(
        tmp_path / "new", coffee, trained, hidden_size=32, dropout=0.3, optimizer="sgd", seed=9
    )
    assert (new.config.model.dropout, new.config.training.optimizer) == (0.3, "sgd")


def vectors_file(path: Path, size: int = 6) -> dict[str, np.ndarray]:
    words = ["coffee", "the", "cup", "xylophone"]
    matrix = np.random.default_rng(2).normal(size=(4, size)).astype(np.float32)
    vectors = KeyedVectors(size)
    vectors.add_vectors(words, matrix)
    vectors.save_word2vec_format(str(path), binary=True)
    return dict(zip(words, matrix, strict=True))


@pytest.mark.parametrize("frozen", [True, False])
def test_an_embedding_starts_as_the_word_vectors(frozen: bool, tmp_path: Path, coffee: str) -> None:
    vectors = vectors_file(tmp_path / "vectors.bin")
    run: Run = start(
        tmp_path / "run", coffee, word_vectors=tmp_path / "vectors.bin", level="word",
        freeze_embedding=frozen, batch_size=2, steps=5,
    )  # fmt: skip
    assert run.config.model.embedding_size == 6
    assert not run.config.model.tie_weights
    before, rows = run.learner.weights()["embedding.weight"], ids(run)
    for word in ("coffee", "the", "cup"):
        np.testing.assert_array_equal(before[rows[word]], vectors[word])
    assert "xylophone" not in rows
    assert run.notes[-1].startswith("word vectors for ")
    assert f"of {len(rows):,} tokens" in run.notes[-1]

    from rondel.training.loop import fit

    fit(run)
    after = run.learner.weights()["embedding.weight"]
    assert np.array_equal(after, before) == frozen
    for word in ("coffee", "the"):
        assert np.array_equal(after[rows[word]], vectors[word]) == frozen


def test_word_vectors_decide_level_and_size(tmp_path: Path, coffee: str, trained: Path) -> None:
    path = tmp_path / "vectors.bin"
    vectors_file(path)
    settings: dict[str, Any] = {"text": coffee, "word_vectors": path, "steps": 1}
    with pytest.raises(InputError, match="--level is 'word' in what this run starts from"):
        rondel.train(**settings, level="char")
    with pytest.raises(InputError, match="--embedding-size is 6 in what this run starts from"):
        rondel.train(**settings, embedding_size=7)
    with pytest.raises(InputError, match="brings its own embedding; leave --word-vectors out"):
        rondel.train(**settings, init_from=trained)
