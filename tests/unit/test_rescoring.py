"""Rescoring n-best lists: values, order, and lines that cannot be used."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import rondel, train

import rondel as package
from rondel.errors import InputError
from rondel.evaluation.rescoring import Hypothesis, parse_nbest, rescore

NBEST = """\
id\tscore\ttext
u1\t-3.0\tThe cup is fulll.
u1\t-3.5\tThe cup is full.
u2\t-1\tA bean
u1\t-9\tThe
u2\t-1\tA \\ bean
u2\t-1.5\t
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, coffee: str) -> Path:
    """A small model of a text in lines."""
    folder = tmp_path_factory.mktemp("lines") / "run"
    train(folder, coffee.replace(". ", ".\n"), steps=40, learning_rate=0.02)
    return folder


@pytest.fixture(scope="module")
def model(trained: Path) -> package.Model:
    return package.load(trained)


def log_p(model: package.Model, text: str) -> float:
    """ln p of a line, its end included, from a line break."""
    return -float(model.score(text + "\n", by="document", unit="nats")["surprisal_nats"][0])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("\t-1\tThe", "list line 2 has an empty id; give its hypotheses one"),
        ("u1\t1_0\tThe", "list line 2: its score '1_0' is not a finite number; correct it"),
    ],
)
def test_an_invalid_id_or_score_is_refused(line: str, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        parse_nbest(f"u1\t-1\tThe\n{line}\n", "list")


def test_a_skipped_header_is_reported(trained: Path) -> None:
    assert (
        "standard input line 1 is a header" in rondel("rescore", trained, "-", stdin=NBEST).stderr
    )
    done = rondel("rescore", trained, "-", "--context", "你 ", stdin=NBEST)
    assert done.stderr.count("the model does not know '你'; read as unknown") == 1
    bare = NBEST.partition("\n")[2]
    assert "header" not in rondel("rescore", trained, "-", stdin=bare).stderr


def test_scores_are_first_pass_plus_weighted_model_score(model: package.Model) -> None:
    hypotheses = parse_nbest(NBEST, "list")
    assert [h.id for h in hypotheses] == ["u1", "u1", "u2", "u1", "u2", "u2"]
    for weight, batch_size in ((0.3, 64), (2.0, 1)):
        table = model.rescore(hypotheses, weight=weight, batch_size=batch_size, unknown_penalty=0)
        assert table["id"].tolist() == ["u1"] * 3 + ["u2"] * 3
        assert table["rank"].tolist() == [1, 2, 3] * 2
        expected = [log_p(model, text) for text in table["text"]]
        np.testing.assert_allclose(table["lm_nats"], expected, atol=1e-4)
        total = table["first_pass"] + weight * table["lm_nats"]
        np.testing.assert_allclose(table["score"], total, rtol=1e-12)
        assert (np.diff(table["score"][:3]) <= 0).all()
        assert (np.diff(table["score"][3:]) <= 0).all()
    assert table["unknown"].sum() == 1


def test_zero_weight_keeps_first_pass_order_and_ties(model: package.Model) -> None:
    table = model.rescore(parse_nbest(NBEST, "list"), weight=0, unknown_penalty=0)
    assert table["first_pass"].tolist() == [-3.0, -3.5, -9.0, -1.0, -1.0, -1.5]
    assert table["text"].tolist()[3:] == ["A bean", "A \\ bean", ""]
    costs = [Hypothesis(h.id, -h.score, h.text) for h in parse_nbest(NBEST, "list", costs=True)]
    assert costs == [Hypothesis(*h[:3]) for h in parse_nbest(NBEST, "list")]


@pytest.mark.parametrize(("normalize", "length"), [("token", 17), ("word", 5), ("character", 17)])
def test_lengths_count_the_end(model: package.Model, normalize: str, length: int) -> None:
    hypotheses = [("u", 0.0, "The cup is full.")]
    table = model.rescore(hypotheses, weight=1.0, normalize=normalize)
    assert table["score"][0] == pytest.approx(log_p(model, "The cup is full.") / length, rel=1e-5)


def test_a_context_comes_before_every_hypothesis(model: package.Model) -> None:
    table = model.rescore([("u", 0.0, "cup.")], weight=1.0, context="The ")
    after = model.score("cup.\n", context="The ", unit="nats")["surprisal_nats"]
    assert table["lm_nats"][0] == pytest.approx(-after.sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u1\t-1\ta\n\nu1\t-2\tb\n", "list line 2 is empty"),
        ("u1\t-1\ta\n   \n", "list line 2 is empty"),
        ("u1\t-1\ta\nu1\t-2\n", "list line 2 has 2 columns, not 3 separated by tabs"),
        ("u1\t-1\ta\tb\n", "list line 1 has 4 columns"),
        ("u1 -1 a\n", "list line 1 has 1 columns"),
        ("u1\t-1\ta\nu1\tbad\tb\n", "list line 2: its score 'bad' is not a finite number"),
        ("u1\tinf\ta\n", "list line 1: its score 'inf' is not a finite number"),
        ("id\tscore\ttext\n", "list holds no hypotheses"),
        ("u1\t-1\ta\nu1\t-1\t你 你\n", "list line 2: the model knows no character of its text"),
    ],
)
def test_an_invalid_line_is_named(model: package.Model, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.rescore(parse_nbest(text, "list"))


def test_invalid_settings_are_refused(model: package.Model) -> None:
    for settings, message in (
        ({"normalize": "verse"}, "one of none, token, word, character, not 'verse'"),
        ({"weight": float("nan")}, "weight must be a finite number"),
        (
            {"unknown_penalty": -1},
            "penalty of an unknown token must be a finite number of",
        ),
        ({"unknown_penalty": "much"}, "not 'much'"),
    ):
        with pytest.raises(InputError, match=message):
            rescore(model._engine, model.tokenizer, parse_nbest("u\t1\ta", "list"), **settings)


LIST = [("u", -1.0, "The cup is full."), ("u", -1.0, "The cüp is füll."), ("v", 0.0, "A bean.")]


def test_the_penalty_is_subtracted_for_each_unknown_token(
    model: package.Model, trained: Path
) -> None:
    with pytest.warns(UserWarning, match="^2 unknown characters in 1 of 3 hypotheses") as caught:
        as_ever = model.rescore(LIST)
    assert Path(caught[0].filename) == Path(__file__)
    free = model.rescore(LIST, unknown_penalty=0)
    for name, column in as_ever.items():
        np.testing.assert_array_equal(free[name], column)
    paid = model.rescore(LIST, weight=0.5, unknown_penalty=12, normalize="character")
    before = model.rescore(LIST, weight=0.5, unknown_penalty=0, normalize="character")
    row = {text: i for i, text in enumerate(before["text"])}["The cüp is füll."]
    now = {text: i for i, text in enumerate(paid["text"])}["The cüp is füll."]
    assert paid["score"][now] == pytest.approx(before["score"][row] - 0.5 * 2 * 12 / 17)
    assert paid["lm_nats"][now] == before["lm_nats"][row]
    assert paid["text"][0] == "The cup is full."
    text = "".join(f"{utterance}\t{score}\t{line}\n" for utterance, score, line in LIST)
    assert "--unknown-penalty NATS" in rondel("rescore", trained, "-", stdin=text).stderr
    done = rondel("rescore", trained, "-", "--unknown-penalty", "99", "--best", stdin=text)
    assert "--unknown-penalty" not in done.stderr
    assert done.stdout.splitlines()[1].endswith("The cup is full.")
    # No warning if every token is known.
    model.rescore(LIST[::2])


INVALID_ROWS: list[Any] = [None, "u", 5, [None], ["u"], [("u", 1)], [("u", "1", "a")]]
INVALID_ROWS += [[("u", float("nan"), "a")], [(1, 1, "a")], [("u", 1, b"a")]]


@pytest.mark.parametrize("rows", INVALID_ROWS)
def test_invalid_rows_are_refused(model: package.Model, rows: Any) -> None:
    with pytest.raises(InputError, match="hypothes"):
        model.rescore(rows)


def test_the_command_writes_the_new_order(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "nbest.tsv").write_text(NBEST, encoding="utf-8")
    done = rondel("rescore", trained, tmp_path / "nbest.tsv", "--weight", "0.3")
    hypotheses = parse_nbest(NBEST, "list")
    table = package.load(trained).rescore(hypotheses, weight=0.3, unknown_penalty=0)
    head, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert head == ["id", "rank", "score", "first_pass", "lm_nats", "unknown", "text"]
    assert [row[6] for row in rows] == table["text"].tolist()
    assert [float(row[2]) for row in rows] == pytest.approx(table["score"].tolist())
    assert "6 hypotheses of 2 ids" in done.stderr
    arguments = ("rescore", trained, "-", "--weight", "0.3", "--best", "--quiet", "--format")
    best = rondel(*arguments, "jsonl", stdin=NBEST)
    assert best.stderr == ""
    parsed = [json.loads(line) for line in best.stdout.splitlines()]
    assert [row["text"] for row in parsed] == table["text"][table["rank"] == 1].tolist()
    as_csv = list(csv.DictReader(io.StringIO(rondel(*arguments, "csv", stdin=NBEST).stdout)))
    assert [row["text"] for row in as_csv] == [row["text"] for row in parsed]
