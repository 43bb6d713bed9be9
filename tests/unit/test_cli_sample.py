"""`rondel sample`: the same seed gives the same text, and every flag does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from _runs import rondel

import rondel as package
from rondel.errors import InputError, ModelFolderError


def sample(*arguments: object, stdin: str | None = None) -> str:
    done = rondel("sample", *arguments, stdin=stdin)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert done.stdout.endswith("\n")
    return done.stdout[:-1]


def test_the_same_seed_gives_the_same_text(trained: Path) -> None:
    flags = (trained, "--prime", "The ", "-n", 80, "--temperature", 0.9)
    first = sample(*flags, "--seed", 3)
    assert first == sample(*flags, "--seed", 3)
    assert first != sample(*flags, "--seed", 4)
    assert sample(*flags) != sample(*flags)
    assert first.startswith("The ")
    assert len(first) == 84
    assert first == package.load(trained).sample("The ", length=80, seed=3, temperature=0.9)


def test_several_samples_are_numbered_and_each_is_its_own(trained: Path) -> None:
    flags = (trained, "--prime", "A cup", "-n", 40, "--seed", 3, "--stop", "\n")
    lines = sample(*flags, "--count", 3).split("\n")
    assert lines[::2] == ["--- 1 of 3", "--- 2 of 3", "--- 3 of 3"]
    texts = lines[1::2]
    assert len(set(texts)) == 3
    model = package.load(trained)
    for index, text in enumerate(texts):
        assert text == model.sample("A cup", length=40, seed=3, stop="\n", index=index)
    # The first of many is the one alone.
    assert sample(*flags) == texts[0]


def test_a_prime_is_drawn_from_the_text_where_none_is_given(trained: Path, coffee: str) -> None:
    text = sample(trained, "-n", 5, "--seed", 8)
    assert text[:-5] == package.load(trained).choose_prime(8)
    assert text[:-5] in coffee
    assert text == sample(trained, "-n", 5, "--seed", 8)


def test_a_prime_from_a_file_or_standard_input(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "prime.txt").write_text("Coffee is", encoding="utf-8")
    flags = (trained, "-n", 30, "--seed", 1)
    expected = sample(*flags, "--prime", "Coffee is")
    assert sample(*flags, "--prime-file", tmp_path / "prime.txt") == expected
    assert sample(*flags, "--prime-file", "-", stdin="Coffee is") == expected
    with pytest.raises(InputError, match="--prime or --prime-file, not both"):
        rondel("sample", trained, "--prime", "x", "--prime-file", tmp_path / "prime.txt")


def test_a_text_ends_before_its_stop(trained: Path) -> None:
    flags = (trained, "--prime", "The ", "-n", 200, "--seed", 2)
    whole = sample(*flags)
    written = whole[len("The ") :]
    assert "e" in written
    assert sample(*flags, "--stop", "e") == "The " + written[: written.index("e")]
    first = min(written.index("e"), written.index(" "))
    assert sample(*flags, "--stop", "e", "--stop", " ") == "The " + written[:first]


def test_argmax_takes_the_likeliest_whatever_the_seed(trained: Path) -> None:
    flags = (trained, "--prime", "The c", "-n", 30)
    text = sample(*flags, "--mode", "argmax", "--seed", 1)
    assert text == sample(*flags, "--mode", "argmax", "--seed", 2, "--temperature", 3)
    assert text == sample(*flags, "--top-k", 1, "--seed", 5)
    from _runs import logits_of

    model = package.load(trained)
    likeliest = logits_of(model, text)[4:-1]
    likeliest[:, 0] = -1e9  # <unk> is never written
    assert text[5:] == model.tokenizer.decode(likeliest.argmax(axis=1))


def test_spaces_draws_only_where_a_word_begins(trained: Path) -> None:
    from _runs import logits_of

    model = package.load(trained)
    text = sample(trained, "--prime", "The ", "-n", 120, "--mode", "spaces", "--seed", 4)
    assert text != sample(trained, "--prime", "The ", "-n", 120, "--mode", "spaces", "--seed", 5)
    logits = logits_of(model, text)
    logits[:, 0] = -1e9
    likeliest = model.tokenizer.decode(logits.argmax(axis=1))
    drawn = 0
    for place in range(4, len(text)):
        if text[place - 1].isspace():
            drawn += text[place] != likeliest[place - 1]
        else:
            assert text[place] == likeliest[place - 1]
    assert drawn > 5


def test_beam_search_finds_what_is_likelier(trained: Path) -> None:
    model = package.load(trained)
    flags = (trained, "--prime", "The cu", "-n", 25, "--mode", "beam")
    one, eight = (sample(*flags, "--beam-width", width) for width in (1, 8))
    assert one == sample(trained, "--prime", "The cu", "-n", 25, "--mode", "argmax")
    assert len(eight) == len(one) == 31
    assert model.evaluate(eight).nats <= model.evaluate(one).nats
    assert eight == sample(*flags, "--beam-width", 8, "--seed", 9)


def test_what_the_model_does_not_know_is_told(trained: Path) -> None:
    done = rondel("sample", trained, "--prime", "Ωmega", "-n", 5, "--seed", 1)
    assert done.exit_code == 0
    assert done.stderr == "rondel: the model does not know 'Ω'; read as unknown\n"
    assert done.stdout.startswith("Ωmega")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-n", 0), "length must be a whole number of at least 1, not 0"),
        (("--temperature", -1), "temperature"),
        (("--top-p", 2), "top_p"),
        (("--prime", ""), "give a prime of at least one character"),
        (("--stop", ""), "stop has an empty string"),
    ],
)
def test_what_cannot_be_is_refused(flags: tuple[object, ...], message: str, trained: Path) -> None:
    with pytest.raises(InputError, match=message):
        rondel("sample", trained, *flags)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="there is no such folder"):
        rondel("sample", tmp_path / "none")


def test_from_a_process_of_its_own_text_comes_alone_and_in_utf_8(trained: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "rondel", "sample", str(trained), "--prime", "The "]
        + ["-n", "30", "--seed", "3"],
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == sample(trained, "--prime", "The ", "-n", 30, "--seed", 3) + "\n"
