"""Commands as a person gives them, in this process or in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Refuse = Callable[..., str]
"""The fixture `refuse`: give it a command that must be refused, and it returns why."""

# The smallest run there is, for whatever goes wrong before or around it.
TINY = (
    *("--backend", "numpy", "--hidden-size", "8", "--seq-length", "8", "--batch-size", "4"),
    *("--steps", "4", "--quiet"),
)

ENVIRONMENT = {
    **os.environ,
    "PYTHONWARNINGS": "error",
    "OPENBLAS_NUM_THREADS": "1",
    "GOMP_SPINCOUNT": "1000",
}

# No file may grow past so many bytes: what a full disk does, for whoever runs the tests.
_LIMITED = """
import resource, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
from rondel.cli import main
main()
"""


# Seconds after which a command hangs, on however slow a machine.
HANG = 1800


def rondel(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return _run([sys.executable, "-m", "rondel", *map(str, arguments)], cwd)


def rondel_without_room(size: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command that can write no file of more than `size` bytes."""
    return _run([sys.executable, "-c", _LIMITED, str(size), *map(str, arguments)], None)


def _run(command: list[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=HANG
    )


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command under way; if it still is when the block ends, it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rondel", *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the bytes of each file, `None` for each folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def the_one_line(stderr: str) -> str:
    """What a refused command says: a single line of rondel's."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("rondel: "), stderr
    return lines[0]
