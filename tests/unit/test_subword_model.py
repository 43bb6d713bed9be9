"""Models of subwords: written and streamed text, primes, stops, scores, and their folders."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from _models import random_model
from _runs import rondel as command
from _runs import start
from _settings import text_config
from tokenizers import Tokenizer

import rondel
from rondel import Model
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.errors import InputError, ModelFolderError
from rondel.generation.prime import read_prime
from rondel.text.tokenizers import train_tokenizer

TEXT = "The cat sat on the mat, and the cat said: “hat, hat”! Where is the cat?\nAt the mat.\n" * 9


@pytest.fixture(scope="module")
def model() -> Model:
    config = text_config(level="subword", vocab_size=300)
    tokenizer = train_tokenizer(TEXT, config)
    shape, weights = random_model("lstm", vocab=tokenizer.vocab_size, embedding=8, seed=3)
    return model_of(Artifact(shape, tokenizer, weights))


def test_a_prime_that_ends_with_a_space_goes_on_with_a_word(model: Any) -> None:
    engine, tokenizer = model._engine, model.tokenizer
    assert read_prime(engine, tokenizer, "a  ").ids.tolist() == tokenizer.encode("a ").tolist()
    for prime in ("cat\n ", "The "):
        with_space, without = (
            read_prime(engine, tokenizer, one) for one in (prime, prime.removesuffix(" "))
        )
        assert with_space.ids.tolist() == without.ids.tolist()
        led_V = tokenizer.space_led()
        np.testing.assert_array_equal(np.isfinite(with_space.logits_V), led_V)
        np.testing.assert_array_equal(with_space.logits_V[led_V], without.logits_V[led_V])
    (cat,) = tokenizer.encode(" cat").tolist()
    assert with_space.decoder.push(cat) == "cat"
    assert with_space.decoder.push(cat) == " cat"
    alone = read_prime(engine, tokenizer, " ")
    assert np.isfinite(alone.logits_V).all()


@pytest.mark.parametrize("mode", ["sample", "spaces", "argmax", "beam"])
def test_every_mode_goes_on_after_a_space(model: Any, mode: str) -> None:
    text = model.sample("The ", length=12, seed=4, mode=mode)
    assert text == model.sample("The ", length=12, seed=4, mode=mode)


def test_what_is_streamed_is_the_text_and_stops_where_it_says(model: Any) -> None:
    whole = model.sample("The cat", length=80, seed=2)
    pieces = list(model.stream("The cat", length=80, seed=2))
    assert "The cat" + "".join(pieces) == whole
    # No token ends where this stop does, nor begins where it begins.
    stop = whole[len(whole) // 3 : len(whole) // 3 + 5]
    assert model.sample("The cat", length=80, seed=2, stop=[stop]) == whole[: whole.index(stop)]


def test_scores_of_tokens_words_and_documents_agree(model: Any) -> None:
    text = "The cat said “hat, hat”! naïve 👩\n where?\n"
    by = {unit: model.score(text, by=unit) for unit in ("token", "word", "line", "document")}
    sums = {unit: float(np.nansum(table["surprisal_bits"])) for unit, table in by.items()}
    assert all(math.isclose(total, sums["token"], rel_tol=1e-6) for total in sums.values())
    assert by["word"]["text"].tolist() == text.split()
    token, spelled = by["token"], model.tokenizer
    for begin, end, name in zip(token["begin"], token["end"], token["token"], strict=True):
        assert name.startswith("0x") or text[begin:end] == name
    evaluated = model.evaluate(text)
    first = int(spelled.spans(text)[0, 1])
    assert evaluated.characters == len(text) - first
    assert evaluated.words == len(text.split()) - (first > 2)


def test_a_folder_has_a_tokenizer_that_others_read(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    theirs, again = Tokenizer.from_file(str(file)), rondel.load(tmp_path / "model")
    ids = again.tokenizer.encode(TEXT)
    assert theirs.encode(TEXT).ids == ids.tolist() == model.tokenizer.encode(TEXT).tolist()
    assert again.sample("The ", seed=1) == model.sample("The ", seed=1)
    state = json.loads(file.read_text(encoding="utf-8"))
    state["model"]["merges"].reverse()
    file.write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="were not trained with this"):
        rondel.load(tmp_path / "model")


def test_a_run_takes_a_tokenizer_that_is_there(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT, encoding="utf-8")
    small = ["--steps", "1", "--hidden-size", "8", "--threads", "1", "--plain"]
    common = ["train", str(text), "--tokenizer", str(tmp_path / "model"), "--out", str(out), *small]
    with pytest.raises(InputError, match=r"--vocab-size is \d+ in what this run starts from"):
        command(*common, "--vocab-size", "999")
    trained = command(*common)
    assert trained.exit_code == 0, trained.output
    assert (
        f"tokenizer of {tmp_path / 'model'}: {model.tokenizer.vocab_size} subwords"
        in trained.output
    )
    assert "do not come back" not in trained.output
    made = rondel.load(out)
    assert made.tokenizer.state() == model.tokenizer.state()
    assert str(tmp_path) not in (out / "run.toml").read_text(encoding="utf-8")
    again = start(tmp_path / "other", "Dogs bark.\n" * 60, init_from=out, steps=1)
    assert again.tokenizer.state() == model.tokenizer.state()


def test_a_tokenizer_that_loses_something_is_taken_with_a_warning(tmp_path: Path) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_writer=written,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
    )
    (tmp_path / "spiece.model").write_bytes(written.getvalue())
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    args = ["train", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "spiece.model")]
    args += ["--out", str(tmp_path / "run"), "--steps", "1", "--hidden-size", "8", "--plain"]
    result = command(*args, "--threads", "1")
    assert result.exit_code == 0, result.output
    assert "texts do not come back exactly: it loses" in result.output
    assert "several spaces" in result.output
    scored = rondel.load(tmp_path / "run").score("The cat  sat.\nAt ☃ the mat.", by="word")
    assert scored["text"].tolist() == ["The", "cat", "sat.", "At", "☃", "the", "mat."]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--level", "subword", "--vocab-size", "200"], "subwords begin with the 256 bytes"),
        (["--level", "char", "--subword", "bpe"], "--subword is for level subword"),
        (["--tokenizer", "missing.json"], "there is no such file or folder"),
        (["--tokenizer", "x", "--init-from", "y"], "both say what tokens there are"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    tmp_path: Path, flags: list[str], complaint: str
) -> None:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        command("train", tmp_path / "text.txt", "--out", tmp_path / "run", *flags)
    assert not (tmp_path / "run").exists()
