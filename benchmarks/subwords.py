"""How fast a text becomes subwords, beside the `encode_batch_fast` of `tokenizers` on both cores.

    python benchmarks/subwords.py TEXT… [--vocab-size 8000] [--rounds 7] [--json FILE]

The vocabulary is learnt from the same text. `tokenizers` is given it cut into pieces of some 20,000
characters, as a batch that it shares out over its threads; both have to give the same ids. Turns
alternate, and the best of each counts. rondel looks up words that it has met before: `first` is the
first time that it sees the text, `again` any later one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _report import arguments_for, describe, machine, table, write_json
from tokenizers import Tokenizer

from rondel.text.reading import read_text
from rondel.text.subwords.learning import ALGORITHMS
from rondel.text.tokenizers.subword import SubwordSettings, SubwordTokenizer

PIECE = 20_000
ROUNDS = 7


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("text", nargs="+", help="files, folders or globs")
    parser.add_argument("--vocab-size", type=int, default=8000, help="(default: 8000)")
    arguments = parser.parse_args()
    at, text = machine(), read_text(arguments.text)
    rounds = 1 if arguments.smoke else arguments.rounds or ROUNDS
    rows = [compared(name, text, arguments.vocab_size, rounds) for name in ALGORITHMS]
    print(table(rows))
    print(f"\nMB of UTF-8 a second; {describe(at)}")
    write_json(arguments.json, rows, at)


def compared(algorithm: str, text: str, vocab_size: int, rounds: int) -> dict[str, Any]:
    settings = SubwordSettings(algorithm, vocab_size)
    megabytes = len(text.encode()) / 1e6
    started = time.perf_counter()
    state = SubwordTokenizer.train(text, settings).state()
    learnt = time.perf_counter() - started
    theirs, pieces = Tokenizer.from_str(json.dumps(state)), list(cut(text, state))
    seconds: dict[str, list[float]] = {"first": [], "again": [], "tokenizers": []}
    for _ in range(rounds):
        own = SubwordTokenizer.from_state(state)
        ids = timed(seconds["first"], lambda own=own: own.encode(text))
        timed(seconds["again"], lambda own=own: own.encode(text))
        batch = timed(seconds["tokenizers"], lambda: theirs.encode_batch_fast(pieces))
        np.testing.assert_array_equal(ids, [i for each in batch for i in each.ids])
    speeds = {name: megabytes / min(times) for name, times in seconds.items()}
    return {"subwords": algorithm, "tokens": len(ids), "learnt in s": learnt, **speeds}


def cut(text: str, state: dict[str, Any]) -> Iterator[str]:
    own, begin = SubwordTokenizer.from_state(state), 0
    while begin < len(text):
        place = own.cut(text, begin + PIECE) if len(text) - begin > 2 * PIECE else None
        end = place.end if place and place.end > begin else len(text)
        yield text[begin:end]
        begin = end


def timed(times: list[float], work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    times.append(time.perf_counter() - started)
    return result


if __name__ == "__main__":
    main()
