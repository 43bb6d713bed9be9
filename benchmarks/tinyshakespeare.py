"""Character level: two minutes on tinyshakespeare, beside the same model trained by hand.

    python benchmarks/tinyshakespeare.py [--minutes 2] [--json FILE]

`rondel train` with no setting but the minutes, then a bare loop over `torch.nn.LSTM` with one layer
of 256, for as long. Both train on the first 90 % of the characters and are then scored on the last
10 %, all of it, in order, with the state carried: nats per character.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _report import machine, table, write_json

import rondel
from rondel.text.corpora import corpora
from rondel.threads import calm_threads

CORPUS = "tinyshakespeare"
HIDDEN, EMBEDDING, STREAMS, STEPS = 256, 64, 32, 64
LEARNING_RATE, CLIP = 4e-3, 1.0
SCORING_CHUNK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, for each")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    calm_threads()
    text = corpora[CORPUS].text()
    split = int(0.9 * len(text))
    results = [
        with_rondel(text[split:], arguments.minutes),
        by_hand(text[:split], text[split:], arguments.minutes),
    ]
    at = machine()
    print(table(results))
    print(f"\nnats per character; {at['processor']}, {at['torch_threads']} threads")
    write_json(arguments.json, results, at)


def with_rondel(validation: str, minutes: float) -> dict[str, Any]:
    """Train as a user does, with the command; the best model of the run is scored."""
    with tempfile.TemporaryDirectory() as scratch:
        out = str(Path(scratch) / "run")
        train = [sys.executable, "-m", "rondel", "train", "--corpus", CORPUS]
        subprocess.run([*train, "--minutes", str(minutes), "--out", out], check=True)
        last, best = rondel.load(out), rondel.load(Path(out) / "best")
    figures = best.evaluate(validation)
    return {
        "trained by": f"rondel train --minutes {minutes:g}",
        "steps": last.progress["step"],
        "characters trained on": last.progress["tokens"],
        "seconds": last.progress["seconds"],
        "validation loss in training": f"{best.progress['val_loss']:.4f}",
        "scored": figures.tokens,
        "in order": figures.nats_per_token,
    }


def by_hand(training: str, validation: str, minutes: float) -> dict[str, Any]:
    """The peer: `torch.nn.LSTM`, Adam, a cosine by the clock; nothing but training in its time."""
    import torch
    from torch import nn

    torch.manual_seed(1)
    characters = sorted(set(training + validation))
    index = {character: i for i, character in enumerate(characters)}
    train_N = torch.tensor([index[c] for c in training])
    validation_N = torch.tensor([index[c] for c in validation])
    length = (len(train_N) - 1) // STREAMS
    inputs_NB = train_N[: length * STREAMS].view(STREAMS, length).T.contiguous()
    targets_NB = train_N[1 : length * STREAMS + 1].view(STREAMS, length).T.contiguous()

    embedding, lstm = nn.Embedding(len(characters), EMBEDDING), nn.LSTM(EMBEDDING, HIDDEN)
    head = nn.Linear(HIDDEN, len(characters))
    parameters = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    loss_of = nn.CrossEntropyLoss()

    steps, place, state = 0, 0, None
    start = time.monotonic()
    while (fraction := (time.monotonic() - start) / (60 * minutes)) < 1:
        if place >= length:
            place, state = 0, None
        chunk = slice(place, place + STEPS)
        outputs, state = lstm(embedding(inputs_NB[chunk]), state)
        state = tuple(part.detach() for part in state)
        loss = loss_of(head(outputs).flatten(0, 1), targets_NB[chunk].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * fraction)) / 2
        optimizer.step()
        steps, place = steps + 1, place + STEPS
    seconds = time.monotonic() - start

    nats, state = 0.0, None
    with torch.no_grad():
        for begin in range(0, len(validation_N) - 1, SCORING_CHUNK):
            chunk_N = validation_N[begin : begin + SCORING_CHUNK + 1]
            outputs, state = lstm(embedding(chunk_N[:-1, None]), state)
            nats += float(loss_of(head(outputs[:, 0]), chunk_N[1:])) * (len(chunk_N) - 1)
    return {
        "trained by": f"a loop over torch.nn.LSTM, 1×{HIDDEN}",
        "steps": steps,
        "characters trained on": steps * STREAMS * STEPS,
        "seconds": seconds,
        "validation loss in training": "none taken",
        "scored": len(validation_N) - 1,
        "in order": nats / (len(validation_N) - 1),
    }


if __name__ == "__main__":
    main()
