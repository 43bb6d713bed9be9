"""Commands given to several processes at once, as `torchrun` starts them.

As a script it is one of them: it gives the commands, each in a process group of its own, and prints
what came of each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

HANG = 1800


class Ended(NamedTuple):
    """What came of a command in one process."""

    status: int
    output: str
    errors: str


def run_ranks(
    size: int,
    *commands: tuple[object, ...],
    machines: bool = False,
    folders: Sequence[Path | None] = (None, None),
    paths: Sequence[Path | None] = (None, None),
) -> list[list[Ended]]:
    """Give each command to `size` processes; what came of each in each of them.

    `{rank}` in an argument is the process's number. With `machines` each has one of its own;
    `folders` are where they work, and `paths` where they look for packages first.
    """
    lists = [[str(argument) for argument in command] for command in commands]
    work = json.dumps(list(zip(_free_ports(len(lists)), lists, strict=True)))
    processes = []
    # To files: one process must not wait with a full pipe while another waits for it.
    with contextlib.ExitStack() as opened:
        outputs = [opened.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2 * size)]
        try:
            for rank in range(size):
                places = folders[rank], paths[rank]
                processes.append(_started(rank, size, work, outputs[2 * rank :], machines, *places))
            for process in processes:
                process.wait(timeout=HANG)
        finally:
            for process in processes:
                process.kill()
        said = []
        for file in outputs:
            file.seek(0)
            said.append(file.read())
    for process, errors in zip(processes, said[1::2], strict=True):
        assert process.returncode == 0, errors
    of_each = [[Ended(*json.loads(line)) for line in out.splitlines()] for out in said[::2]]
    return [list(ranks) for ranks in zip(*of_each, strict=True)]


def _started(
    rank: int,
    size: int,
    work: str,
    outputs: Sequence[IO[str]],
    machines: bool,
    folder: Path | None,
    path: Path | None,
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONWARNINGS": "error",
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": "0" if machines else str(rank),
        "LOCAL_WORLD_SIZE": "1" if machines else str(size),
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        **({} if path is None else {"PYTHONPATH": str(path)}),
    }
    command = [sys.executable, __file__, work]
    return subprocess.Popen(
        command, env=environment, stdout=outputs[0], stderr=outputs[1], cwd=folder
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _give(work: list[tuple[int, list[str]]]) -> None:
    from rondel.cli import main

    for port, command in work:
        os.environ["MASTER_PORT"] = str(port)
        sys.argv = ["rondel", *(part.replace("{rank}", os.environ["RANK"]) for part in command)]
        output, errors = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                main()
        except SystemExit as ended:
            print(json.dumps(Ended(int(ended.code or 0), output.getvalue(), errors.getvalue())))


if __name__ == "__main__":
    sys.path.pop(0)  # this folder's modules are not theirs
    _give(json.loads(sys.argv[1]))
