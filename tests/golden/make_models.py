"""Makes the model folders of format 1 that every later rondel must read, and what they say.

    python tests/golden/make_models.py

It makes those that are not there, for a new format or a new kind of model: a golden model that is
made again tests nothing.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import rondel
from rondel.artifact import VERSION
from rondel.text.corpora import corpora

PRIME, LENGTH = "The", 60
UNSEEN = "The cup of coffee on the table is cold, said the señor; and it was.\n"
MODELS: dict[str, dict[str, Any]] = {
    "char-lstm": {
        "hidden_size": 10,
        "embedding_size": 4,
        "num_layers": 2,
        "dropout": 0.1,
        "learning_rate": 0.02,
    },
    "word-gru": {
        "level": "word",
        "vocab_size": 40,
        "cell": "gru",
        "hidden_size": 10,
        "tie_weights": True,
        "learning_rate": 0.02,
    },
    "byte-rnn": {
        "level": "byte",
        "cell": "rnn",
        "nonlinearity": "relu",
        "hidden_size": 5,
        "embedding_size": 0,
        "learning_rate": 0.005,
    },
    "subword-lstm": {
        "level": "subword",
        "vocab_size": 320,
        "hidden_size": 12,
        "dropout": 0.0,
        "learning_rate": 0.02,
    },
    "char-bidirectional-gru": {
        "model": "bidirectional",
        "cell": "gru",
        "hidden_size": 8,
        "embedding_size": 4,
        "learning_rate": 0.02,
    },
}


def main() -> None:
    home = Path(__file__).parent / f"format-{VERSION}"
    said = home / "expected.json"
    expected = json.loads(said.read_text(encoding="utf-8")) if said.exists() else {}
    missing = {name: settings for name, settings in MODELS.items() if name not in expected}
    text = corpora["coffee"].text(size=6_000, seed=1)
    for name, settings in missing.items():
        with tempfile.TemporaryDirectory() as scratch:
            model = rondel.train(
                text=text, steps=800, seq_length=32, batch_size=4, threads=1, device="cpu",
                quiet=True, out=Path(scratch) / "run", **settings,
            )  # fmt: skip
        model.save(home / name)
        figures = model.evaluate(UNSEEN).to_json()
        if model.config.model == "bidirectional":
            figures |= model.evaluate_cloze(UNSEEN).to_json()
        argmax = model.sample(PRIME, length=LENGTH, mode="argmax")
        expected[name] = {"argmax": argmax, "evaluation": figures, "step": model.progress["step"]}
    said.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
