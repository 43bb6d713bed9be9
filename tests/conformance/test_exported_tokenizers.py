"""Every tokenizer, in JavaScript: ids, spans and what is written are Python's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _javascript import export_package, run_exported
from _models import random_model

import rondel
from rondel import artifact
from rondel.artifact import Artifact
from rondel.errors import InputError
from rondel.exporters import web_model
from rondel.text.tokenizers import Tokenizer, tokenizers
from rondel.text.tokenizers.subword import SubwordTokenizer

TRAINED_ON = (
    "The cat sat on the mat, and the well-known dog (whose name's “Rex”) didn't.\n"
    "\n  Le garçon naïf mangea l'œuf: ΟΔΥΣΣΕΥΣ, кошка, 猫が好き, नमस्ते 👩‍💻!\n"
    "\tThe end... -- THE END?\n"
) * 3
TEXTS = [
    "The cat",
    TRAINED_ON[:150],
    "  a  b\tc\n\nd <unk> x<unk> it's 'twas ￭ a￭b \u2028 \x1c\ufeff e\u0301 1234 ½²",
    "ΟΔΥΣΣΕΥΣ İstanbul naïve ☃ 👩‍💻 ᚠ \x07",
    "bytes that are no UTF-8: \udcff\udce2\udc82 a \ud800.",
    " ",
    "",
]
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "char": [{}, {"charset": "ascii"}],
    "byte": [{}],
    "word": [{}, {"word_split": "spaces"}, {"word_split": "tokens"}, {"lowercase": True}],
    "subword": [{"subword": name, "vocab_size": 300} for name in ("bpe", "unigram", "wordpiece")],
}
"""Settings to try beside the defaults of a level, by its name."""
RUN = [
    (level, settings)
    for level in tokenizers
    if (web_model.JAVASCRIPT / "tokenizers" / f"{level}.js").is_file()
    for settings in SETTINGS.get(level, [{}])
]


def trained(level: str, settings: dict[str, Any]) -> Tokenizer:
    cls = tokenizers[level]
    known = {field.name for field in dataclasses.fields(cls.settings)}
    values = {"min_count": 1, "vocab_size": 1000} if "min_count" in known else {}
    return cls.train(TRAINED_ON, cls.settings(**{**values, **settings}))


def units_before(text: str) -> Any:
    """How many code units of JavaScript stand before each character, and before the end."""
    return np.cumsum([0, *(2 if ord(character) > 0xFFFF else 1 for character in text)])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model folder for each tokenizer, with its package beside it."""
    home = tmp_path_factory.mktemp("levels")
    folders = []
    for number, (level, settings) in enumerate(RUN):
        tokenizer = trained(level, settings)
        config, weights = random_model(
            "lstm", hidden=16, vocab=tokenizer.vocab_size, embedding=8, seed=number
        )
        model = Artifact(config, tokenizer, weights, {}, ("The cat sat", "\n"))
        artifact.save(home / f"{number}", model)
        export_package(home / f"{number}-js", model)
        folders.append(home / f"{number}")
    return folders


@pytest.fixture(scope="module")
def found(folders: list[Path]) -> list[Any]:
    """What each package gives for the texts, and what it writes."""
    jobs = []
    for folder in folders:
        package = f"{folder}-js"
        jobs.append({"package": package, "call": ["tokens", TEXTS]})
        for prime in PRIMES:
            jobs.append({"package": package, "call": ["sample", prime, WRITING]})
    results = iter(run_exported(jobs))
    return [(next(results), [next(results) for _ in PRIMES]) for _ in folders]


WRITING = {"seed": 5, "length": 60, "temperature": 0.9, "top_k": 40, "stop": ["qqq", "zz"]}
PRIMES = ["The cat ", "Le garçon naïf", "ends in a blank line\n", None]


@pytest.mark.parametrize("number", range(len(RUN)), ids=[f"{n}-{s}" for n, s in RUN])
def test_ids_and_spans_are_pythons(folders: list[Path], found: list[Any], number: int) -> None:
    tokenizer = artifact.load(folders[number]).tokenizer
    for text, (ids, spans, decoded) in zip(TEXTS, found[number][0], strict=True):
        expected = tokenizer.encode(text)
        assert ids == expected.tolist(), text
        units = units_before(text)
        assert spans == units[tokenizer.spans(text)].tolist(), text
        assert decoded == tokenizer.decode(expected), text


@pytest.mark.filterwarnings("ignore:the model does not know")
@pytest.mark.parametrize("number", range(len(RUN)), ids=[f"{n}-{s}" for n, s in RUN])
def test_the_same_seed_writes_the_same_text(
    folders: list[Path], found: list[Any], number: int
) -> None:
    model = rondel.load(folders[number])
    for prime, text in zip(PRIMES, found[number][1], strict=True):
        assert text == model.sample(prime, **WRITING)


def test_a_tokenizer_of_another_program_is_refused(tmp_path: Path) -> None:
    state = trained("subword", {"subword": "bpe", "vocab_size": 300}).state()
    other = SubwordTokenizer({**state, "normalizer": {"type": "NFC"}})
    config, weights = random_model("rnn", vocab=other.vocab_size)
    with pytest.raises(InputError, match="tokenizer was made by another program"):
        export_package(tmp_path / "package", Artifact(config, other, weights))


def test_bytes_become_text_as_in_python(tmp_path: Path) -> None:
    tokenizer = trained("byte", {})
    config, weights = random_model("rnn", vocab=256)
    package = export_package(tmp_path / "package", Artifact(config, tokenizer, weights))
    rng = np.random.default_rng(1)
    chosen = [0x41, 0x80, 0xA0, 0xBF, 0xC0, 0xC3, 0xE0, 0xE2, 0xED, 0xF0, 0xF1, 0xF4, 0xF5, 0x90]
    sequences = [rng.choice(chosen, 200).tolist() for _ in range(20)]
    (texts,) = run_exported([{"package": package, "call": ["decoded", sequences]}])
    assert texts == [tokenizer.decode(sequence) for sequence in sequences]
