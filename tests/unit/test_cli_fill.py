"""`rondel fill`, and the other commands with a bidirectional model."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from _runs import rondel

import rondel as api
from rondel.errors import InputError


def test_fill_prints_the_table_of_model_fill(trained_both: Path) -> None:
    done = rondel("fill", trained_both, "The ___ is hot, ___.", "--max-length", 2, "--best", 3)
    assert done.exit_code == 0
    head, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert head == [
        *("log_probability_nats", "pseudo_log_likelihood_nats"),
        *("filling_1", "filling_2", "text"),
    ]
    expected = api.load(trained_both).fill("The ___ is hot, ___.", max_length=2, best=3)
    assert [row[2:] for row in rows] == [[*one.fillings, one.text] for one in expected]
    for row, one in zip(rows, expected, strict=True):
        assert float(row[0]) == pytest.approx(one.log_probability, rel=1e-6)
        assert float(row[1]) == pytest.approx(one.pseudo_log_likelihood, rel=1e-6)


def test_fill_reads_standard_input_and_any_gap_mark(trained_both: Path) -> None:
    text = "The cup is [?]ull."
    arguments = ("--gap", "[?]", "--length", 1, "--best", 2, "--format", "jsonl")
    done = rondel("fill", trained_both, "-", *arguments, stdin=text)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert row["text"] == text.replace("[?]", row["filling_1"])
    assert rows[0]["pseudo_log_likelihood_nats"] >= rows[1]["pseudo_log_likelihood_nats"]


def test_fill_prints_unknown_characters(trained_both: Path) -> None:
    done = rondel("fill", trained_both, "The ☃ is ___.", "--length", 1)
    assert done.exit_code == 0
    assert done.stderr == "rondel: the model does not know '☃'; read as unknown\n"


@pytest.mark.parametrize("how", ["tsv", "csv", "jsonl"])
def test_unknown_characters_are_kept_in_every_format(trained_both: Path, how: str) -> None:
    arguments = ("--length", 1, "--best", 2, "--format", how)
    done = rondel("fill", trained_both, "-", *arguments, stdin="日本\t___\n☃ \\")
    assert (
        done.stderr
        == "rondel: the model does not know '日' '本' '\\t' '☃' '\\\\'; read as unknown\n"
    )
    if how == "jsonl":
        rows = [json.loads(line) for line in done.stdout.splitlines()]
    elif how == "csv":
        rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    else:
        head, *lines = [line.split("\t") for line in done.stdout.splitlines()]
        plain = [[re.sub(r"\\(.)", unescaped, cell) for cell in line] for line in lines]
        rows = [dict(zip(head, line, strict=True)) for line in plain]
    assert len(rows) == 2
    for row in rows:
        assert row["text"] == f"日本\t{row['filling_1']}\n☃ \\"


def unescaped(match: re.Match[str]) -> str:
    return {"t": "\t", "n": "\n", "r": "\r"}.get(match.group(1), match.group(1))


def test_spaces_around_a_gap_are_not_unknown_words(tmp_path: Path, coffee_file: Path) -> None:
    small = ("--level", "word", "--hidden-size", 8, "--seq-length", 8, "--steps", 2)
    rondel("train", coffee_file, "--bidirectional", *small, "--quiet", "--out", tmp_path / "words")
    done = rondel("fill", tmp_path / "words", "The ___ is hot, and the ☃ too.", "--best", 1)
    assert done.stderr == "rondel: the model does not know '☃'; read as unknown\n"
    filling, text = done.stdout.splitlines()[1].split("\t")[2:]
    assert re.fullmatch(f"The ?{re.escape(filling)} ?is hot, and the ☃ too\\.", text)


def test_fill_refuses_invalid_input(trained_both: Path, trained: Path) -> None:
    with pytest.raises(InputError, match="the text has no gap: mark one with '___'"):
        rondel("fill", trained_both, "The cup")
    with pytest.raises(InputError, match="length must be at least 1"):
        rondel("fill", trained_both, "The ___", "--length", 0)
    with pytest.raises(InputError, match="length must be at most 256 tokens, not 50000"):
        rondel("fill", trained_both, "The ___", "--length", 50_000)
    with pytest.raises(InputError, match="is a language model, which has no"):
        rondel("fill", trained, "The ___")


def test_sample_uses_the_causal_half(trained_both: Path) -> None:
    done = rondel("sample", trained_both, "--prime", "The ", "-n", 40, "--seed", 3)
    assert done.stdout == api.load(trained_both).sample("The ", length=40, seed=3) + "\n"


def test_mode_gibbs_resamples_the_whole_prime(trained_both: Path) -> None:
    prime = "The coffee is hot and the cup is full."
    arguments = ("--mode", "gibbs", "--seed", 3, "--sweeps", 2, "--temperature", 0.5)
    done = rondel("sample", trained_both, *arguments, "--prime", prime, "--count", 2)
    model = api.load(trained_both)
    expected = [
        list(model.gibbs(prime, sweeps=2, seed=3, index=index, temperature=0.5))[-1]
        for index in (0, 1)
    ]
    assert done.stdout == f"--- 1 of 2\n{expected[0]}\n--- 2 of 2\n{expected[1]}\n"
    drafted = rondel("sample", trained_both, *arguments, "-n", 30).stdout
    assert len(drafted) > 30


def test_mode_gibbs_needs_a_bidirectional_model(trained: Path) -> None:
    with pytest.raises(InputError, match="is a language model, which has no"):
        rondel("sample", trained, "--mode", "gibbs", "--prime", "The ")


def test_show_names_its_losses(trained_both: Path, trained: Path) -> None:
    shown = rondel("show", trained_both).stdout
    assert "bidirectional, lstm 1×32" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("val loss")]
    assert line.endswith("nats per character, given both sides")
    assert "both sides" not in rondel("show", trained).stdout


def test_training_names_its_loss(tmp_path: Path, coffee_file: Path) -> None:
    arguments = ("--bidirectional", "--hidden-size", 8, "--steps", 2, "--eval-every", 1)
    done = rondel("train", coffee_file, *arguments, "--plain", "--out", tmp_path / "both")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("step 2 ")]
    assert " · cloze loss: train " in line


def test_both_names_of_the_kind_must_agree(coffee_file: Path) -> None:
    with pytest.raises(InputError, match="--bidirectional and --model language-model disagree"):
        rondel("train", coffee_file, "--bidirectional", "--model", "language-model")


def test_eval_separates_causal_and_bidirectional_figures(trained_both: Path) -> None:
    text = "The cup is full, and the coffee is hot.\n"
    file = trained_both.parent / "own.txt"
    file.write_text(text, encoding="utf-8")
    model = api.load(trained_both)
    figures = json.loads(rondel("eval", trained_both, file, "--json").stdout)
    assert figures == {
        "causal": model.evaluate(text).to_json(),
        "cloze": model.evaluate_cloze(text).to_json(),
    }
    assert figures["cloze"]["tokens"] == figures["causal"]["tokens"] + 1 == len(text)
    assert not figures["causal"].keys() & {name for name in figures["cloze"] if "pseudo" in name}
    lines = rondel("eval", trained_both, file).stdout.splitlines()
    (second,) = [i for i, line in enumerate(lines) if line.startswith("both sides, each character")]
    assert lines[0] == "the causal half, each character given those before it:"
    number = f"{figures['cloze']['pseudo_nats_per_token']:.4f}"
    assert lines[second + 1].split(maxsplit=1) == [
        number,
        "nats of pseudo-log-likelihood per character",
    ]


def test_score_uses_both_sides_and_names_its_columns_so(trained_both: Path, tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("The cup is full.\nThe coffee is hot.\n", encoding="utf-8")
    done = rondel("score", trained_both, file, "--by", "line", "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert "surprisal_bits" not in rows[0]
    total = sum(row["pseudo_surprisal_bits"] for row in rows)
    assert f"{total:,.2f} bits of pseudo-log-likelihood" in done.stderr
    assert "each given all others of its text" in done.stderr
    causal = rondel("score", trained_both, file, "--by", "line", "--format", "jsonl", "--causal")
    assert json.loads(causal.stdout.splitlines()[0])["surprisal_bits"] > 0
    worst = rondel("score", trained_both, file, "--worst", 1, "--quiet").stdout.splitlines()
    assert worst[0].split("\t")[1:3] == [
        "pseudo_surprisal_bits",
        "pseudo_surprisal_bits_per_token",
    ]
