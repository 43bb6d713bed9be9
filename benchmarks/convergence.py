"""Character level: how soon `rondel train` reaches a loss on tinyshakespeare, and how far it comes.

    python benchmarks/convergence.py [--minutes 0.25 0.5 2] [--target 1.886] [--json FILE]

For each of the minutes, `rondel train` with no other setting: when its validation first reached the
target, by the run's own clock and with the start of the command, and the loss it ended with. Then a
bare loop over `torch.nn.LSTM`, one layer of 256, for the longest of the times. Both train on the
first 90 % of the characters and are scored on the last 10 %, all of it, in order, with the state
carried: nats per character.

The target is the loss that the README of nanoGPT (github.com/karpathy/nanoGPT) gives for its recipe
for a CPU, `train.py config/train_shakespeare_char.py --device=cpu …`, on the same text and split.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _report import arguments_for, describe, machine, table, write_json

import rondel
from rondel.errors import InputError
from rondel.text.corpora import corpora

HIDDEN, EMBEDDING, STREAMS, STEPS = 256, 64, 32, 64
LEARNING_RATE, CLIP = 4e-3, 1.0
SCORING_CHUNK = 1024
SMOKE_SIZE = 2_000


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.25, 0.5, 2.0])
    parser.add_argument("--target", type=float, default=1.886, help="nats/character")
    parser.add_argument("--corpus", default="tinyshakespeare")
    arguments = parser.parse_args()
    at = machine()
    try:
        text = corpora[arguments.corpus].text()
    except InputError as error:
        sys.exit(str(error))
    split = int(0.9 * len(text))
    training, validation = text[:split], text[split:]
    if arguments.smoke:
        validation = validation[:SMOKE_SIZE]
    else:
        # What rondel compiles on its first use is kept from then on.
        with train(arguments.corpus, "--steps", "2", "--quiet"):
            pass
    results = [
        with_rondel(arguments.corpus, validation, minutes, arguments.target)
        for minutes in arguments.minutes
    ]
    results.append(by_hand(training, validation, max(arguments.minutes), arguments.target))
    print(f"\n{table(results)}\n\nnats/character; {describe(at)}")
    write_json(arguments.json, results, at)


@contextmanager
def train(corpus: str, *options: str) -> Iterator[tuple[Path, float]]:
    """The run that the command makes of a corpus, and the seconds it took from its start."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        command = [sys.executable, "-m", "rondel", "train", "--corpus", corpus, "--out", str(out)]
        begin = time.monotonic()
        subprocess.run([*command, *options], check=True)
        yield out, time.monotonic() - begin


def with_rondel(corpus: str, validation: str, minutes: float, target: float) -> dict[str, Any]:
    """Train as a user does, with the command; the best model of the run is scored."""
    with train(corpus, "--minutes", str(minutes)) as (out, wall):
        last, best = rondel.load(out), rondel.load(out / "best")
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    measured = [(row["seconds"], row["val_loss"]) for row in rows if row["val_loss"] is not None]
    reached = next((seconds for seconds, loss in measured if loss <= target), None)
    # What the command takes beside the run's own clock: its start, the text, the last save.
    beside = wall - last.progress["seconds"]
    return {
        "trained by": f"rondel train --minutes {minutes:g}",
        f"seconds to {target}": "not reached" if reached is None else f"{reached:.1f}",
        "with the start": "" if reached is None else f"{reached + beside:.1f}",
        "scored": best.evaluate(validation).nats_per_token,
        "lowest in training": f"{min(loss for _, loss in measured):.4f}",
        "seconds": wall,
        "steps": last.progress["step"],
        "characters trained on": last.progress["tokens"],
    }


def by_hand(training: str, validation: str, minutes: float, target: float) -> dict[str, Any]:
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
        f"seconds to {target}": "not measured",
        "with the start": "",
        "scored": nats / (len(validation_N) - 1),
        "lowest in training": "not measured",
        "seconds": seconds,
        "steps": steps,
        "characters trained on": steps * STREAMS * STEPS,
    }


if __name__ == "__main__":
    main()
