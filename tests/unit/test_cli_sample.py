"""`rondel sample`: the same seed gives the same text, and every flag has its effect."""

from __future__ import annotations

import json
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


def test_several_samples_are_numbered_and_differ(trained: Path) -> None:
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


def test_there_can_be_more_samples_than_one_batch(trained: Path) -> None:
    flags = (trained, "-n", 3, "--seed", 3, "--stop", "e")
    texts = sample(*flags, "--count", 150).split("--- ")
    assert [text.split("\n")[0] for text in texts[1:]] == [f"{n} of 150" for n in range(1, 151)]
    model = package.load(trained)
    for index in (0, 63, 64, 149):
        text = model.sample(length=3, seed=3, stop="e", index=index)
        assert texts[index + 1].partition("\n")[2].removesuffix("\n") == text


def test_a_text_without_a_prime_begins_after_a_line_break_that_is_not_shown(trained: Path) -> None:
    text = sample(trained, "-n", 50, "--seed", 8)
    assert len(text) == 50
    # The text has paragraphs of a line each.
    assert "\n\n" + text == package.load(trained).sample("\n\n", length=50, seed=8)
    assert text == package.load(trained).sample(length=50, seed=8)
    assert text == sample(trained, "-n", 50, "--seed", 8)


def test_lines_are_unique_and_not_in_the_training_text(
    trained: Path, coffee: str, tmp_path: Path
) -> None:
    flags = (trained, "-n", 4, "--count", 30, "--seed", 3)
    lines = rondel("sample", *flags, "--format", "lines").stdout.splitlines()
    assert len(lines) == 30
    model = package.load(trained)
    every = (model.sample(length=4, seed=3, stop="\n", index=i) for i in range(10))
    kept = [text for text in every if text.strip()]
    assert lines[: len(kept)] == kept
    done = rondel("sample", *flags, "--format", "lines", "--unique", "--not-in", "training")
    written = done.stdout.splitlines()
    assert len(set(written)) == 30
    assert not set(written) & {line.strip() for line in coffee.split("\n")}
    # What was written once can be kept out another time.
    (tmp_path / "before.txt").write_text(done.stdout, encoding="utf-8")
    again = rondel("sample", *flags, "--format", "jsonl", "--stop", "\n", "--unique")
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    assert len({row["text"] for row in rows}) == 30
    assert all(
        row["text"] == model.sample(length=4, seed=3, stop="\n", index=row["index"])
        for row in rows[:3]
    )
    other = rondel("sample", *flags, "--format", "lines", "--not-in", tmp_path / "before.txt")
    assert not set(other.stdout.splitlines()) & set(written)
    assert "in the given texts" in other.stderr


def test_a_list_omits_the_prime_but_compares_texts_with_it(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("x\nThe and\nThe the\n", encoding="utf-8")
    flags = (trained, "--prime", "The ", "-n", 3, "--seed", 1, "--count", 40, "--temperature", 0.3)
    written = rondel("sample", *flags, "--format", "lines").stdout.splitlines()
    assert {"and", "the"} < set(written)
    done = rondel("sample", *flags, "--format", "lines", "--not-in", tmp_path / "known.txt")
    assert not {"and", "the"} & set(done.stdout.splitlines())


def test_a_list_that_the_model_cannot_fill_ends_with_an_error(trained: Path) -> None:
    flags = (trained, "-n", 1, "--seed", 1, "--format", "lines", "--unique", "--count", 500)
    with pytest.raises(InputError, match=r"of 500 texts: the last 1,000 were all left out"):
        rondel("sample", *flags)


def test_a_model_without_its_run_has_no_training_text(trained: Path, tmp_path: Path) -> None:
    package.load(trained).save(tmp_path / "alone")
    with pytest.raises(InputError, match="without the text it was trained on"):
        rondel("sample", tmp_path / "alone", "--not-in", "training")


def test_beam_search_gives_the_requested_number_best_first(trained: Path) -> None:
    flags = (trained, "--prime", "The c", "-n", 12, "--mode", "beam", "--stop", "\n")
    done = sample(*flags, "--count", 4, "--format", "jsonl").split("\n")
    rows = [json.loads(line) for line in done]
    assert len({row["text"] for row in rows}) == 4
    scores = [row["log_probability_nats"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    found = package.load(trained).beam_search("The c", 4, length=12, stop="\n")
    assert [text.text for text in found] == [row["text"] for row in rows]
    lines = sample(*flags, "--count", 4).split("\n")
    assert lines[0] == f"--- 1 of 4: {scores[0]:.3f} nats, tokens: {rows[0]['tokens']}"
    assert lines[1] == "The c" + rows[0]["text"]
    with pytest.raises(InputError, match=r"raise the beam width \(--beam-width\) to 9"):
        rondel("sample", *flags, "--count", 9)


@pytest.mark.parametrize("flags", [("--mode", "argmax"), ("--temperature", 0)])
def test_copies_of_one_text_are_refused(flags: tuple[object, ...], trained: Path) -> None:
    for how in ("text", "lines"):
        with pytest.raises(InputError, match="draws nothing"):
            rondel("sample", trained, "--prime", "The ", "--count", 4, "--format", how, *flags)


def test_a_prime_from_a_file_or_standard_input(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "prime.txt").write_text("Coffee is", encoding="utf-8")
    flags = (trained, "-n", 30, "--seed", 1)
    expected = sample(*flags, "--prime", "Coffee is")
    assert sample(*flags, "--prime-file", tmp_path / "prime.txt") == expected
    assert sample(*flags, "--prime-file", "-", stdin="Coffee is") == expected
    with pytest.raises(InputError, match="give one of --prime, --prime-file and --from-state"):
        rondel("sample", trained, "--prime", "x", "--prime-file", tmp_path / "prime.txt")


def test_a_text_ends_before_its_stop(trained: Path) -> None:
    flags = (trained, "--prime", "The ", "-n", 200, "--seed", 2)
    whole = sample(*flags)
    written = whole[len("The ") :]
    assert "e" in written
    assert sample(*flags, "--stop", "e") == "The " + written[: written.index("e")]
    first = min(written.index("e"), written.index(" "))
    assert sample(*flags, "--stop", "e", "--stop", " ") == "The " + written[:first]


def test_argmax_takes_the_likeliest_as_temperature_0_and_top_k_1_do(trained: Path) -> None:
    flags = (trained, "--prime", "The c", "-n", 30)
    text = sample(*flags, "--mode", "argmax")
    assert text == sample(*flags, "--temperature", 0)
    assert text == sample(*flags, "--top-k", 1, "--seed", 5)
    from _runs import logits_of

    model = package.load(trained)
    likeliest = logits_of(model, text)[4:-1]
    likeliest[:, 0] = -1e9  # <unk> is never written
    assert text[5:] == model.tokenizer.decode(likeliest.argmax(axis=1))


def test_mode_spaces_samples_only_at_the_beginning_of_words(trained: Path) -> None:
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


def test_beam_search_finds_likelier_texts(trained: Path) -> None:
    model = package.load(trained)
    flags = (trained, "--prime", "The cu", "-n", 25, "--mode", "beam")
    one, eight = (sample(*flags, "--beam-width", width) for width in (1, 8))
    assert one == sample(trained, "--prime", "The cu", "-n", 25, "--mode", "argmax")
    assert len(eight) == len(one) == 31
    assert model.evaluate(eight).nats <= model.evaluate(one).nats


def test_unknown_characters_of_the_prime_are_printed(trained: Path) -> None:
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
def test_invalid_flags_are_refused(flags: tuple[object, ...], message: str, trained: Path) -> None:
    with pytest.raises(InputError, match=message):
        rondel("sample", trained, *flags)


def test_a_saved_state_is_continued_as_its_prime_is(trained: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for flags in (
        ("-n", 60, "--seed", 3),
        ("-n", 20, "--seed", 3, "--count", 3, "--format", "lines", "--unique"),
        ("-n", 12, "--mode", "beam"),
        ("-n", 12, "--mode", "beam", "--count", 2, "--format", "jsonl"),
    ):
        state.unlink(missing_ok=True)
        text = sample(trained, "--prime", "A cup ", *flags)
        assert sample(trained, "--prime", "A cup ", *flags, "--save-state", state) == text
        assert sample(trained, "--from-state", state, *flags) == text.removeprefix("A cup ")


def test_states_that_cannot_be_saved_or_continued_are_refused(
    trained: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    sample(trained, "--prime", "A cup ", "--save-state", state, "-n", 1)
    content = state.read_bytes()
    for flags, message in (
        (("--prime", "A", "--from-state", state), "give one of --prime, --prime-file and --from"),
        (("--save-state", tmp_path / "new"), "after a prime: give --prime or --prime-file"),
        (("--prime", "A", "--save-state", state), "is there already; name another file"),
        (("--prime", "A", "--save-state", tmp_path / "none" / "state"), "cannot write"),
        (("--mode", "gibbs", "--from-state", state), "mode gibbs continues no text"),
        (("--from-state", trained / "model.json"), "damaged"),
        (("--mode", "argmax", "--seed", 1, "--from-state", state), "--seed has no effect"),
    ):
        with pytest.raises((InputError, ModelFolderError), match=message):
            rondel("sample", trained, *flags)
    assert state.read_bytes() == content


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="there is no such folder"):
        rondel("sample", tmp_path / "none")


def test_a_separate_process_prints_only_the_text_in_utf_8(trained: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "rondel", "sample", str(trained), "--prime", "The "]
        + ["-n", "30", "--seed", "3"],
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == sample(trained, "--prime", "The ", "-n", 30, "--seed", 3) + "\n"
