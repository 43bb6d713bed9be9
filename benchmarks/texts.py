"""What `--minutes` chooses, on texts of many kinds, beside fixed choices given as long.

    python benchmarks/texts.py [--minutes 2] [--only code words] [--text NAME=FILE] [--json FILE]

Every text is trained on with nothing but the minutes, as `rondel train --minutes M` does, then with
each of a few models fixed by hand, for as long. What is compared is the validation loss of the best
model of each run, in nats per character, on the last tenth of the text. The texts are made of what
is on the machine: the documentation and sources of Python, and the translated messages of its
programs (Linux keeps them in /usr/share/locale); --text adds others.
"""

from __future__ import annotations

import random
import re
import struct
import sysconfig
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _rondel
from _race import Worker
from _report import arguments_for, describe, machine, table, write_json

from rondel.errors import InputError
from rondel.text.corpora import corpora
from rondel.text.reading import read_text

MEGABYTE = 1_000_000
ALTERNATIVES: dict[str, dict[str, Any]] = {
    "1×128": {"hidden_size": 128},
    "1×256": {"hidden_size": 256},
    "1×512": {"hidden_size": 512},
    "2×256, dropout 0.2": {"num_layers": 2, "hidden_size": 256, "dropout": 0.2},
    "3×512, dropout 0.2": {"num_layers": 3, "hidden_size": 512, "dropout": 0.2},
}
SMOKE_ALTERNATIVES = {"1×16": {"hidden_size": 16}}
LOCALES = Path("/usr/share/locale")
CATALOGUE = 0x950412DE
CHOSEN = "chosen"


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="of each run (default: 2)")
    parser.add_argument("--only", nargs="+", choices=TEXTS, metavar="TEXT", help=", ".join(TEXTS))
    parser.add_argument(
        "--text", action="append", default=[], type=named, metavar="NAME=FILE", help="another text"
    )
    parser.add_argument("--language", default="ru", help="of the messages (default: ru)")
    parser.add_argument("--largest", type=int, default=50, metavar="MB", help="(default: 50)")
    parser.add_argument("--threads", type=int, help="CPU threads to train with")
    arguments = parser.parse_args()
    at = machine()
    names = arguments.only or ([] if arguments.text else list(TEXTS))
    made = {name: TEXTS[name](arguments) for name in names}
    made.update(arguments.text)
    with Worker(calm=True) as worker:
        # What rondel compiles on its first use is kept from then on.
        worker.call(_rondel.train, documentation()[:10_000], arguments.minutes, {"steps": 2})
        rows = []
        for name, text in made.items():
            if text:
                rows.append(compare(name, text, worker, arguments))
                # Hours may go by until the last: what is known by now is kept.
                write_json(arguments.json, rows, at)
    print(f"\n{table(rows)}\n\nnats/character; {describe(at)}")
    for name in (name for name, text in made.items() if not text):
        print(
            f"{name} is left out: this machine has no such text; give one with --text {name}=FILE"
        )


def compare(name: str, text: str, worker: Worker, arguments: Namespace) -> dict[str, Any]:
    """Train in every way; a line of the table."""
    ways = {CHOSEN: {}, **(SMOKE_ALTERNATIVES if arguments.smoke else ALTERNATIVES)}
    trained: dict[str, _rondel.Trained] = {}
    for way, settings in ways.items():
        print(f"{name}: {way}", flush=True)
        settings = {**settings, "threads": arguments.threads}
        trained[way] = worker.call(_rondel.train, text, arguments.minutes, settings)
        print(f"  {trained[way].loss:.4f} nats/character, {trained[way].shape}", flush=True)
    losses = {way: them.loss for way, them in trained.items()}
    best = min((way for way in losses if way != CHOSEN), key=losses.__getitem__)
    return {
        "chosen - best fixed": losses[CHOSEN] - losses[best],
        "text": name,
        "characters": len(text),
        "different": len(set(text)),
        "what was chosen": trained[CHOSEN].shape,
        "best fixed": best,
        **losses,
    }


def named(given: str) -> tuple[str, str]:
    """The name and the text that a NAME=FILE gives."""
    name, _, file = given.partition("=")
    if not (name and file):
        raise ArgumentTypeError(f"{given} is not NAME=FILE")
    try:
        return name, read_text([file])
    except InputError as error:
        raise ArgumentTypeError(str(error)) from None


def documentation() -> str:
    """The Python language reference."""
    return corpora["pydoc"].text()


def short(arguments: Namespace) -> str:
    """50 KB of it."""
    return documentation()[:50_000]


def code(arguments: Namespace) -> str:
    """Sources of the standard library, without its tests."""
    return sources("[a-z]*.py", 2 * MEGABYTE)


def large(arguments: Namespace) -> str:
    """All the Python sources there are, up to a size."""
    return sources("**/*.py", (1 if arguments.smoke else arguments.largest) * MEGABYTE)


def one_line(arguments: Namespace) -> str:
    """The documentation without a line break."""
    return " ".join(documentation().split())


def words(arguments: Namespace) -> str:
    """Every different word in sources of the standard library, one a line, in no order."""
    found = sorted(set(re.findall(r"[a-z]+", sources("[a-z]*.py", 4 * MEGABYTE).lower())))
    random.Random(1).shuffle(found)
    return "\n".join(found) + "\n"


def language(arguments: Namespace) -> str:
    """Messages of programs in another language; empty if there are none on this machine."""
    files = sorted((LOCALES / arguments.language / "LC_MESSAGES").glob("*.mo"))
    messages = dict.fromkeys(text for file in files for text in translations(file.read_bytes()))
    return "\n".join(messages)[: 2 * MEGABYTE]


TEXTS: dict[str, Callable[[Namespace], str]] = {
    "short": short,
    "code": code,
    "language": language,
    "one line": one_line,
    "words": words,
    "large": large,
}


def sources(pattern: str, most: int) -> str:
    """Python files of the installation, in order of path, up to a size."""
    parts, size = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob(pattern)):
        if size >= most:
            break
        try:
            parts.append(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, OSError):
            continue
        size += len(parts[-1])
    return "".join(parts)[:most]


def translations(catalogue: bytes) -> Iterator[str]:
    """The translated messages of a gettext catalogue (GNU gettext's manual, "MO Files")."""
    order = "<" if struct.unpack_from("<I", catalogue)[0] == CATALOGUE else ">"
    count, _, begin = struct.unpack_from(f"{order}3I", catalogue, 8)
    for i in range(1, count):  # the first is the catalogue's own head
        length, offset = struct.unpack_from(f"{order}2I", catalogue, begin + 8 * i)
        yield from catalogue[offset : offset + length].decode("utf-8", "ignore").split("\0")


if __name__ == "__main__":
    main()
