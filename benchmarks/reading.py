"""How fast a text is read into a token store, and how much memory that takes.

    python benchmarks/reading.py FOLDER [--gigabytes 1] [--levels char byte word subword]
                                 [--peer] [--score MB] [--scratch DIR] [--json FILE]

The text is made of the texts below FOLDER, again and again up to the size, with a made-up word
every thousand bytes, so that the number of different words grows as in a real text. Each level is
read by `rondel prepare` in a process of its own, whose peak memory is what the system says of it.
With `--peer`, `datasets` and `tokenizers` read the same file at the levels that they have: lines in
batches through `datasets`, a vocabulary of words or subwords (BPE) trained and the lines encoded by
`tokenizers`, in batches. With `--score`, a small model of the first level scores so many MB
of the text by word, and a tenth of that: the peak memory should be the same.
"""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import _rondel
import numpy as np
from _report import arguments_for, describe, machine, table, write_json

from rondel.text.reading import read_text

GIGABYTE, MEGABYTE = 10**9, 10**6
LEVELS = ("char", "byte", "word", "subword")
PART = 1_000
"""Bytes between two made-up words."""
SMOKE_BYTES = 300_000
PEERS = ("word", "subword")
VOCABULARY, SUBWORDS = 10_000, 8_000
HIDDEN = 32
"""Units of the models that score."""
BATCH = 10_000


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="texts to make the long one of")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="(default: 1)")
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--peer", action="store_true", help="datasets and tokenizers as well")
    parser.add_argument("--score", type=float, help="MB of the text to score as well")
    parser.add_argument("--scratch", type=Path, help="folder for files as large as the text")
    arguments = parser.parse_args()
    at = machine()
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        results = list(measured(Path(scratch), arguments))
    print(f"{table(results)}\n\n{describe(at)}")
    write_json(arguments.json, results, at)


def measured(scratch: Path, arguments: Namespace) -> Iterator[dict[str, Any]]:
    """A row for each level, and one for the peer."""
    size = SMOKE_BYTES if arguments.smoke else int(arguments.gigabytes * GIGABYTE)
    text = scratch / "text.txt"
    write_text(text, size, arguments.folder)
    for level in arguments.levels:
        yield row(f"rondel, {level}", size, in_process(read_by_rondel, text, scratch, level))
        shutil.rmtree(scratch / level)
        if arguments.peer and level in PEERS:
            found = in_process(read_by_peer, text, scratch, level)
            yield row(f"datasets + tokenizers, {level}", size, found)
    if arguments.score:
        yield from scored(scratch, text, arguments)


def scored(scratch: Path, text: Path, arguments: Namespace) -> Iterator[dict[str, Any]]:
    """Two rows, for the first level: a tenth of what is to be scored, and all of it."""
    size = SMOKE_BYTES if arguments.smoke else int(arguments.score * MEGABYTE)
    level = arguments.levels[0]
    in_process(train_small_model, text, scratch, level)
    for part in (size // 10, size):
        excerpt = scratch / "excerpt.txt"
        with text.open("rb") as source, excerpt.open("wb") as file:
            for begin in range(0, part, MEGABYTE):
                file.write(source.read(min(MEGABYTE, part - begin)))
        yield row(
            f"rondel score, {level}", part, in_process(score_by_rondel, excerpt, scratch, level)
        )


def train_small_model(text: Path, scratch: Path, level: str) -> int:
    import rondel

    with text.open("rb") as file:
        some = file.read(SMOKE_BYTES).decode("utf-8", "ignore")
    shape: dict[str, Any] = {"hidden_size": HIDDEN, "num_layers": 1, "embedding_size": 16}
    folder = scratch / f"model-{level}"
    rondel.train(text=some, level=level, steps=1, out=folder, backend="numpy", quiet=True, **shape)
    return 0


def score_by_rondel(text: Path, scratch: Path, level: str) -> int:
    import rondel

    model = rondel.load(scratch / f"model-{level}", kind=rondel.LanguageModel, threads=1)
    tables = model.score_files(rondel.TextFiles(text), rondel.ScoringSettings(by="word"))
    return sum(int(table["tokens"].sum()) for table in tables)


def row(what: str, size: int, found: tuple[float, float, int, int]) -> dict[str, Any]:
    seconds, processor_seconds, peak, tokens = found
    return {
        "what": what,
        "MB": size / MEGABYTE,
        "seconds": seconds,
        "MB/s": size / MEGABYTE / seconds,
        "processor seconds": processor_seconds,
        "peak memory, MB": peak / MEGABYTE,
        "tokens": tokens,
    }


def write_text(path: Path, size: int, folder: Path | None) -> None:
    """A text of so many bytes."""
    source = folder or Path(__file__).parent
    data = read_text([str(source)] if folder else [str(source / "*.md")]).encode()
    words = made_up_words()
    written = 0
    with path.open("wb") as file:
        for begin in itertools.cycle(range(0, len(data), PART)):
            written += file.write(data[begin : begin + PART] + b" %s " % next(words))
            if written >= size:
                return


def made_up_words() -> Iterator[bytes]:
    """Words of eight letters, without end."""
    draw = np.random.default_rng(1)
    while True:
        letters = draw.integers(ord("a"), ord("z") + 1, (BATCH, 8), np.uint8).tobytes()
        yield from (letters[begin : begin + 8] for begin in range(0, len(letters), 8))


def in_process(read: Any, text: Path, scratch: Path, level: str) -> tuple[float, float, int, int]:
    """What a process of its own gives: seconds, those of the processor, peak bytes, tokens."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=timed, args=(theirs, read, text, scratch, level))
    process.start()
    theirs.close()
    try:
        found: tuple[float, float, int, int] = mine.recv()
    finally:
        process.join()
    return found


def timed(out: Connection, read: Any, text: Path, scratch: Path, level: str) -> None:
    begin = time.perf_counter()
    tokens = read(text, scratch, level)
    seconds = time.perf_counter() - begin
    out.send((seconds, time.process_time(), _rondel.peak_memory(), tokens))


def read_by_rondel(text: Path, scratch: Path, level: str) -> int:
    import rondel

    corpus = rondel.prepare(text, scratch / level, level=level)
    return sum(split.tokens for split in corpus.store.splits.values())


def read_by_peer(text: Path, scratch: Path, level: str) -> int:
    from datasets import load_dataset
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    lines = load_dataset("text", data_files=str(text), cache_dir=str(scratch / "datasets"))["train"]
    batches = (batch["text"] for batch in lines.iter(BATCH))
    if level == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=["<unk>"])
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=SUBWORDS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    tokenizer.train_from_iterator(batches, trainer)
    tokens = 0
    with (scratch / "peer.bin").open("wb") as file:
        for batch in lines.iter(BATCH):
            for encoding in tokenizer.encode_batch_fast(batch["text"]):
                ids = np.array(encoding.ids, np.uint16)
                file.write(ids.data)
                tokens += len(ids)
    return tokens


if __name__ == "__main__":
    main()
