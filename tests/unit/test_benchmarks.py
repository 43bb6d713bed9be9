"""The benchmarks run, compare equal things, and say what follows from what they measured."""

from __future__ import annotations

import json
import runpy
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
ROUNDING = 1e-5


@pytest.fixture(scope="module", autouse=True)
def shared_workers() -> Iterator[None]:
    """Let processes outlive a benchmark: to start one takes longer than what it does here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import _race

        class Kept(_race.Worker):
            def __exit__(self, *_: object) -> None:
                """Stay."""

        kept: dict[tuple[bool, int | None], Kept] = {}

        def worker(*, calm: bool = False, cores: int | None = None) -> Kept:
            if (calm, cores) not in kept:
                kept[calm, cores] = Kept(calm=calm, cores=cores)
            return kept[calm, cores]

        patch.setattr(_race, "Worker", worker)
        yield
        for each in kept.values():
            each.close()


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a benchmark as its command does; what it wrote with `--json`."""

    def run(name: str, *options: str) -> Any:
        out = tmp_path / f"{name}.json"
        monkeypatch.setattr(sys, "argv", [name, *options, "--json", str(out)])
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        written = json.loads(out.read_text(encoding="utf-8"))
        assert written["machine"]["cores"] >= 1
        assert written["machine"]["versions"]["rondel"]
        return written["results"]

    return run


def test_vocabulary_races_the_same_losses(benchmark: Any) -> None:
    lines = benchmark("vocabulary", "--smoke")
    assert [line["softmax"] for line in lines] == ["full", "adaptive"]
    assert all(float(line["largest difference"]) <= ROUNDING for line in lines)


def test_reading_says_how_fast_and_at_what_memory(benchmark: Any) -> None:
    results = benchmark("reading", "--smoke", "--levels", "char", "word", "--score", "1")
    scored = ["rondel score, char"] * 2
    assert [row["what"] for row in results] == ["rondel, char", "rondel, word", *scored]
    assert results[0]["tokens"] >= 290_000 > results[1]["tokens"] > 0
    assert all(row["peak memory, MB"] > 10 for row in results)


def test_training_is_raced_against_the_best_of_peers_that_compute_the_same(benchmark: Any) -> None:
    results = benchmark("training", "--smoke", "--whole")
    for row in (*results["forward and backward"], *results["whole steps"]):
        best = max(row[peer] for peer in ("PyTorch", "oneDNN off", "two replicas"))
        assert row["vs best peer"] == pytest.approx(row["rondel"] / best, rel=0.01)
        assert float(row["largest difference"]) < ROUNDING
    assert results["matmul_peak_gflops"]["2"] > 0


def test_sampling_is_raced_against_peers_that_compute_the_same(benchmark: Any) -> None:
    results = benchmark("sampling", "--smoke")
    one, eight_bits = results["one stream"]
    (many,), (start,) = (results[name] for name in ("many streams", "start"))
    tuned = max(one["tuned loop, 1 thread"], one["tuned loop, 2 threads"])
    assert one["vs tuned loop"] == pytest.approx(one["rondel"] / tuned, rel=0.01)
    # Two layers of 16: three matrices of 64 × 16, and a head for 65 characters, four bytes each.
    assert one["MB read a character"] == pytest.approx(4 * (3 * 64 * 16 + 16 * 65) / 1e6)
    assert eight_bits["MB read a character"] == pytest.approx(one["MB read a character"] / 4)
    assert float(one["largest difference"]) < ROUNDING
    assert float(many["largest difference"]) < ROUNDING
    assert many["streams"] == 4
    assert start["fastest"] <= start["seconds"] <= start["slowest"]


def test_subwords_are_raced_against_the_same_ids(benchmark: Any, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The cat sat on the mat, and said so.\n" * 2000, encoding="utf-8")
    results = benchmark("subwords", str(text), "--smoke", "--vocab-size", "300")
    assert [row["subwords"] for row in results] == ["bpe", "unigram", "wordpiece"]
    assert all(row["first"] > 0 and row["tokenizers"] > 0 for row in results)


def test_growth_has_a_line_for_each_thing_that_grows(benchmark: Any) -> None:
    results = benchmark("growth", "--smoke", "--largest-text", "1")
    grown = [(row["what grows"], row["to"]) for row in results["models"]]
    assert grown[:3] == [("hidden", 16), ("hidden", 32), ("batch", 2)]
    for row in results["models"]:
        assert row["tokens/s in training"] > 0
        assert row["tokens/s in sampling"] > 0
    (text,) = results["texts"]
    assert text["text, MB"] == 0.1
    # The documentation has some characters of two or three bytes, and a byte is stored for each.
    assert 0.99 * 100_000 < text["tokens"] <= 100_000
    assert text["stored, MB"] == pytest.approx(text["tokens"] / 1e6, abs=0.001)


def test_what_minutes_choose_is_compared_with_the_best_of_fixed_choices(benchmark: Any) -> None:
    (row,) = benchmark("texts", "--smoke", "--only", "short", "--minutes", "0.01")
    assert (row["text"], row["characters"], row["best fixed"]) == ("short", 50_000, "1×16")
    assert row["chosen - best fixed"] == pytest.approx(row["chosen"] - row["1×16"])


def test_convergence_scores_rondel_and_a_loop_by_hand(benchmark: Any, tmp_path: Path) -> None:
    rondel, by_hand = benchmark(
        "convergence", "--smoke", "--corpus", "pydoc", "--minutes", "0.01", "--target", "99"
    )
    # Any loss is below the target, so that the run reached it as it first validated.
    assert 0 < float(rondel["seconds to 99.0"]) <= float(rondel["with the start"])
    assert 1 < rondel["scored"] < 6
    assert 1 < by_hand["scored"] < 6
    assert by_hand["characters trained on"] == 32 * 64 * by_hand["steps"]


def test_the_messages_of_a_catalogue(tmp_path: Path) -> None:
    import texts

    originals = [b"", b"one coffee\0%d coffees", b"tea"]
    translated = [b"Language: ru\n", "кофе\0кофе по %d".encode(), "чай".encode()]
    data, table = b"", b""
    begin = 28 + 2 * 8 * len(originals)
    for message in originals + translated:
        table += struct.pack("<2I", len(message), begin + len(data))
        data += message + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, 3, 28, 28 + 8 * 3, 0, 0)
    assert list(texts.translations(head + table + data)) == ["кофе", "кофе по %d", "чай"]


@pytest.mark.parametrize(
    ("options", "told"),
    [((), "--make-environment"), (("--environment", "nowhere"), "nowhere has no Keras")],
)
def test_without_keras_one_line_says_what_to_do(
    benchmark: Any, options: tuple[str, ...], told: str
) -> None:
    with pytest.raises(SystemExit, match=told):
        benchmark("frameworks", *options)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("book.txt", "book.txt is not NAME=FILE"),
        ("=book.txt", "=book.txt is not NAME=FILE"),
        ("book=nowhere.txt", "nowhere.txt: there is no such file"),
    ],
)
def test_a_text_that_cannot_be_had_is_refused(
    benchmark: Any, given: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        benchmark("texts", "--text", given)
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_failed_contestant_is_told_of(benchmark: Any) -> None:
    import _race
    import _rondel

    with (
        _race.Worker(calm=True) as worker,
        pytest.raises(RuntimeError, match=r"--cell is one of .* not 'elephant'"),
    ):
        worker.make("rondel", _rondel.Kernels, _rondel.Shape("elephant", 1, 8), 1)


def test_a_sentence_vae_is_judged_by_the_sentences_that_a_language_model_is(benchmark: Any) -> None:
    results = benchmark("sentence_vae", "--smoke", "--threads", "1")
    vae, collapsing, plain = results["rows"]
    for row in (vae, collapsing):
        assert row["-ELBO"] == pytest.approx(row["reconstruction"] + row["KL"])
        # The one has the KL of its draws, the other that of all.
        assert row["-ln p"] < row["-ELBO"] + 1
        assert row["distinct %"] > 0
    assert plain["model"] == "language model"
    # Barely trained models all find a sentence about as likely as its length makes it.
    assert plain["-ln p"] == pytest.approx(vae["-ln p"], rel=0.5)
    assert all(len(samples) == 20 for samples in results["samples"].values())


def test_the_published_setting_runs_on_a_folder_like_the_treebank_s(
    benchmark: Any, tmp_path: Path
) -> None:
    words = [f"w{n}" for n in range(40)]
    for name, count in (("train", 200), ("valid", 30), ("test", 20)):
        lines = [" ".join(words[i % 7 : i % 7 + 3 + i % 9]) for i in range(count)]
        long = " ".join(words * 2)
        text = "".join(f" {line} \n" for line in [*lines, long])
        (tmp_path / f"ptb.{name}.txt").write_text(text, encoding="utf-8")
    rows = benchmark("penn_treebank", str(tmp_path), "--smoke", "--epochs", "2", "--threads", "1")
    assert [row["part"] for row in rows] == ["train", "valid", "test"]
    assert [row["sentences"] for row in rows] == [200, 30, 20]
    for row in rows:
        assert 0 <= row["KL"] < row["NLL"]
        assert 1 < row["perplexity"] < 60


def test_the_service_is_raced_against_its_engine_and_a_plain_server(benchmark: Any) -> None:
    (row,) = benchmark("serving", "--smoke")
    best = max(row["plain, 1"], row["plain, 2"])
    assert row["of the engine"] == pytest.approx(
        row["rondel serve"] / row["engine alone"], rel=0.01
    )
    assert row["vs one at a time"] == pytest.approx(row["rondel serve"] / best, rel=0.01)
    assert row["with log-probabilities, of without"] == pytest.approx(
        row["with log-probabilities"] / row["rondel serve"], rel=0.01
    )
    times = row["ms to the first"] / row["of 1 client"]
    assert row["first, times that of 1 client"] == pytest.approx(times, rel=0.01)


def test_hostile_requests_are_timed_from_within(benchmark: Any) -> None:
    nothing, *others = benchmark("event_loop", "--smoke")
    assert nothing["answer"] is None
    assert [row["answer"] for row in others] == [200, 400]
    assert all(row["held, ms"] >= 0 for row in others)


def test_an_exported_page_is_timed_in_a_browser(benchmark: Any) -> None:
    # A browser that another test drives has a loop in the main thread.
    with ThreadPoolExecutor(1) as thread:
        rows = thread.submit(benchmark, "page", "--smoke").result()
    for row in rows:
        assert row["with likelihoods"] > 0
        assert row["characters/s"] > 0
        assert row["first character, ms"] > 0


def test_a_soak_answers_all_and_keeps_nothing(benchmark: Any) -> None:
    (row,) = benchmark("soak", "--smoke")
    assert row["answered"] > 0
    assert row["cut off"] > 0
    assert row["rubbish"] > 0
    assert row["not answered, or wrong"] == 0
    assert row["texts at the end"] == 0


def test_words_are_put_into_gaps_by_models_of_every_kind(benchmark: Any) -> None:
    rows = benchmark("imputation", "--smoke")
    assert {row["word"] for row in rows} == {"last", "within"}
    for row in rows:
        assert row["right %"] <= row["among 5 %"]
        if row["filled by"] == "the truth":
            assert row["right %"] == 100
