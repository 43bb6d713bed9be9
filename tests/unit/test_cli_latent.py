"""The commands for sentence VAEs, also with other models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _runs import rondel
from _sentence_vae import SENTENCES, random_vae

from rondel.errors import InputError

A, B, C = SENTENCES[:3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vae") / "model"
    random_vae().save(place)
    return place


def test_samples_are_one_per_line(folder: Path) -> None:
    done = rondel("sample", folder, "--count", 6, "--seed", 1, "--temperature", 0.9)
    expected = random_vae().sample_sentences(6, seed=1, temperature=0.9)
    assert done.stdout.split("\n") == [*expected, ""]


def test_sentences_are_reconstructed(folder: Path) -> None:
    done = rondel("reconstruct", folder, A, "--count", 3, "--seed", 2, "--mode", "beam")
    expected = random_vae().reconstruct(A, 3, seed=2, mode="beam")
    assert done.stdout.split("\n") == [*expected, ""]
    assert rondel("analogy", folder, A, B, C).stdout == random_vae().analogy(A, B, C) + "\n"


def test_a_path_has_one_line_per_step_and_marks_repeats(folder: Path) -> None:
    done = rondel("interpolate", folder, A, B, "--steps", 5, "--spherical")
    expected = random_vae().interpolate(A, B, steps=5, spherical=True)
    assert done.stdout.splitlines() == [
        f"{step.share:.2f} {'=' if step.again else ' '} {step.text}" for step in expected
    ]
    same = rondel("interpolate", folder, A, A, "--steps", 3).stdout.splitlines()
    assert [line[5] for line in same] == [" ", "=", "="]
    random = rondel("interpolate", folder, "--seed", 4, "--json")
    assert [step["text"] for step in json.loads(random.stdout)] == [
        step.text for step in random_vae().interpolate(seed=4)
    ]


def test_eval_prints_the_bounds(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join([*SENTENCES, "man " * 20]), encoding="utf-8")
    done = rondel("eval", folder, text, "--iw-samples", 3, "--json")
    expected = random_vae().evaluate_sentences(SENTENCES, iw_samples=3)
    assert json.loads(done.stdout) == pytest.approx(expected.to_json(), rel=1e-6)
    assert "1 sentence was left out" in done.stderr
    rows = rondel("eval", folder, text).stdout
    assert "nats of KL per sentence" in rows
    assert "perplexity per word (importance-weighted bound, 10 samples)" in rows


def test_eval_scores_and_counts_sentences_of_unknown_words(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join([*SENTENCES, "zebras gallop"]), encoding="utf-8")
    done = rondel("eval", folder, text)
    assert done.stderr == ""
    (row,) = [line for line in done.stdout.splitlines() if "of unknown words only" in line]
    assert row.split() == ["1", "sentences", "of", "unknown", "words", "only,", "scored", "too"]
    text.write_text("zebras gallop\n", encoding="utf-8")
    with pytest.raises(InputError, match="the model knows no word of any of the sentences"):
        rondel("eval", folder, text)


def test_fill_prints_texts_and_their_bounds(folder: Path) -> None:
    done = rondel("fill", folder, "A ___ rides a ___", "--length", 1, "--best", 3, "--seed", 2)
    head, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert head == ["log_probability_nats", "filling_1", "filling_2", "text"]
    found = random_vae().fill("A ___ rides a ___", length=1, best=3, seed=2)
    assert [row[1:] for row in rows] == [[*one.fillings, one.text] for one in found]
    for row, one in zip(rows, found, strict=True):
        assert float(row[0]) == pytest.approx(one.log_probability, rel=1e-6)


def test_the_page_has_the_sentences_that_can_be_read(folder: Path, tmp_path: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "latent.html"
    text.write_text("\n".join([*SENTENCES, A, "zebra", "man " * 20]), encoding="utf-8")
    done = rondel("latent", folder, text, "--out", out, "--landmarks", 3, "--steps", 4)
    assert done.stdout.startswith("5 sentences in ")
    assert "2 sentences were left out" in done.stderr
    page = out.read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["sentences"] == list(SENTENCES)
    assert (data["model"], data["source"]) == ("model", "text.txt")
    assert len(data["ends"]) == len(data["landmarks"]) == 3
    assert [len(inner) for inner in data["paths"]] == [2, 2, 2]
    fewer = rondel(
        "latent", folder, text, "--out", out, "--overwrite", "--most", 3, "--projection", "tsne"
    )
    assert fewer.stdout.startswith("3 sentences in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reconstruct", ""), "a sentence is empty; give it at least one word"),
        (("reconstruct", "zebras gallop"), "the model knows no word of 'zebras gallop'"),
        (("analogy", A, B, "man " * 15), "has 15 words, and this model reads sentences of up to"),
        (("fill", A), "the text has no gap: mark one with '___'"),
        (("interpolate", A), "give two sentences to go between, or none for two random points"),
        (("sample", "--prime", "A man"), "is a sentence VAE, which takes no prime"),
        (("sample", "--mode", "gibbs"), "is a sentence VAE, which has no mode gibbs"),
        (("eval", __file__, "--cache"), "is a sentence VAE: leave out --dynamic and --cache"),
        (("score", __file__), "this model is a sentence VAE, which has no 'score_reader'"),
        (("latent", __file__, "--out", "."), ". is a folder"),
        (
            ("latent", __file__, "--out", "nowhere/at/all.html"),
            "in a folder that does not exist",
        ),
    ],
)
def test_invalid_input_is_refused_in_one_line(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    command, *rest = arguments
    with pytest.raises(InputError) as refused:
        rondel(command, folder, *rest)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconstruct", "The cup"),
        ("interpolate",),
        ("analogy", "a", "b", "c"),
        ("latent", __file__, "--out", "page.html"),
    ],
)
def test_a_model_without_a_latent_space_is_refused(
    trained_both: Path, arguments: tuple[str, ...]
) -> None:
    command, *rest = arguments
    with pytest.raises(InputError, match="is a bidirectional model, and this needs a sentence VAE"):
        rondel(command, trained_both, *rest)
    with pytest.raises(InputError, match="is not a sentence VAE: leave out --iw-samples"):
        rondel("eval", trained_both, __file__, "--iw-samples", 2)
