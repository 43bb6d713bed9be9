"""`rondel serve` under load: beside its engine without a server, and a server of plain PyTorch.

    python benchmarks/serving.py [--rounds 5] [--streams 64] [--seconds 10] [--json FILE]
        [--prompt 20] [--length 2000] [--no-peers]

One model (2×512, weights drawn at random, 65 characters), four ways. The engine by itself writes a
batch of 64 texts. `rondel serve` streams to 64 clients at once, each with its next request when one
is answered; the same with log-probabilities of each character and the 5 likeliest; and to a single
client. The peer takes one request after the other, each by the best loop of plain PyTorch
(_sampling_peers.py), and sends whole texts. Clients and servers share the machine, so that what
clients take is part of what the servers lose. All take turns; medians.
"""

from __future__ import annotations

import statistics
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import _rondel
from _clients import Heard, ask_for, server
from _race import Worker, race
from _report import arguments_for, describe, machine, table, write_json
from _rondel import TEMPERATURE, Shape

SHAPE, SMOKE_SHAPE = Shape("lstm", 2, 512), Shape("lstm", 1, 16)
PROMPT = "CHAPTER {number}. THE "
PLAIN = {1: "plain, 1", 2: "plain, 2"}
OWN, REPORTING, ALONE = "rondel serve", "with log-probabilities", "1 client"
LIKELIEST = 5


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--streams", type=int, default=64, help="clients at once (default: 64)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each turn (default: 10)")
    parser.add_argument("--prompt", type=int, default=20, help="its characters (default: 20)")
    parser.add_argument(
        "--length", type=int, default=2000, help="characters to write, at most 1.5 times as many"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave plain PyTorch out")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.streams, arguments.seconds, arguments.rounds = 4, 0.5, 1
    arguments.rounds = arguments.rounds or 5
    shape = SMOKE_SHAPE if arguments.smoke else SHAPE
    at = machine()
    with tempfile.TemporaryDirectory() as scratch, Worker(calm=True) as worker:
        folder = Path(scratch) / shape.model
        worker.call(_rondel.write_model, folder, shape)
        rows = [compare(shape, folder, worker, arguments)]
    print(f"\n{table(rows)}\n\ncharacters/s, and ms to the first; {describe(at)}")
    write_json(arguments.json, rows, at)


def compare(shape: Shape, folder: Path, worker: Worker, arguments: Namespace) -> dict[str, Any]:
    """All ways in turn; a line of the table."""
    engine = worker.make("engine", _rondel.Streams, folder, arguments.streams)
    plain = str(Path(__file__).parent / "_plain_server.py")
    sizes = (str(shape.layers), str(shape.hidden))
    prompt = PROMPT.ljust(arguments.prompt - len("0000") + len("{number}"), "A")
    length = arguments.length
    asked = {"prompt": prompt, "max_tokens": length, "temperature": TEMPERATURE, "stream": True}
    whole = {key: asked[key] for key in ("prompt", "max_tokens")}
    heard: dict[str, list[Heard]] = {}
    offline: list[float] = []
    with server("-m", "rondel", "serve", str(folder), "--port", "{port}") as port:
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", flush=True)
            speeds = race([engine], 1, arguments.seconds / 5)
            offline.append(arguments.streams * speeds["engine"].median)
            for name, clients, more in (
                (OWN, arguments.streams, {}),
                (REPORTING, arguments.streams, {"logprobs": LIKELIEST}),
                (ALONE, 1, {}),
            ):
                own = ask_for(port, clients, arguments.seconds, {**asked, **more})
                heard.setdefault(name, []).append(own)
            for threads, name in PLAIN.items() if not arguments.no_peers else ():
                command = (plain, str(folder), *sizes, "{port}", str(threads))
                with server(*command) as other:
                    theirs = ask_for(other, arguments.streams, arguments.seconds, whole)
                heard.setdefault(name, []).append(theirs)
    return row_of(shape, arguments.streams, offline, heard)


def row_of(
    shape: Shape, streams: int, offline: list[float], heard: dict[str, list[Heard]]
) -> dict[str, Any]:
    rates = {name: statistics.median(h.rate for h in turns) for name, turns in heard.items()}
    plain = max((rates[name] for name in PLAIN.values() if name in rates), default=None)
    engine = statistics.median(offline)
    first = {
        name: 1000 * statistics.median(seconds for turn in heard[name] for seconds in turn.first)
        for name in (OWN, ALONE)
    }
    return {
        "of the engine": rates[OWN] / engine,
        "with log-probabilities, of without": rates[REPORTING] / rates[OWN],
        "vs one at a time": None if plain is None else rates[OWN] / plain,
        "first, times that of 1 client": first[OWN] / first[ALONE],
        "model": shape.model,
        "clients": streams,
        "engine alone": round(engine),
        **{name: round(rate) for name, rate in rates.items()},
        "ms to the first": first[OWN],
        "of 1 client": first[ALONE],
    }


if __name__ == "__main__":
    main()
