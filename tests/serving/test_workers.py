"""Several processes behind one port: what they share, what they serve, and how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from _serving import PATIENCE, Server, serving, until, write_language_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that is going to be replaced by another."""
    return write_language_model(tmp_path_factory.mktemp("served") / "tiny")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, "--workers", "2") as started:
        yield started


def workers(server: Server) -> list[int]:
    """The processes that answer."""
    told = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 2) for line in told.stdout.splitlines())
    parent = str(server.process.pid)
    return [int(pid) for pid, own, what in rows if own == parent and "spawn_main" in what]


def answers(server: Server) -> bool:
    try:
        return server.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


# In the order of the file: each test leaves less of the server than it found.
def test_workers_share_the_port_and_the_figures(server: Server) -> None:
    with ThreadPoolExecutor(8) as crowd:
        texts = list(crowd.map(lambda n: server.complete(max_tokens=50, seed=n % 5), range(40)))
    for seed in range(5):
        assert len({told["choices"][0]["text"] for told in texts[seed::5]}) == 1
    assert server.figure("rondel_tokens_written_total") == 40 * 50


def test_workers_that_start_anew_serve_the_model_that_was_loaded(
    server: Server, folder: Path
) -> None:
    before = server.complete(seed=1, max_tokens=30)["choices"]
    assert not server.get("/v1/models/tiny").json()["changed_on_disk"]
    shutil.rmtree(folder)
    write_language_model(folder, hidden=16)
    first = workers(server)
    assert len(first) == 2
    for worker in first:
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(set(workers(server)) - set(first)) == 2)
    for _ in range(8):
        assert server.complete(seed=1, max_tokens=30)["choices"] == before
    assert server.get("/v1/models/tiny").json()["changed_on_disk"]
    assert server.get("/readyz").json() == {"status": "ready", "changed_on_disk": ["tiny"]}


def test_workers_end_with_a_parent_that_is_killed(server: Server) -> None:
    until(lambda: len(workers(server)) == 2)
    server.process.kill()
    server.process.wait(PATIENCE)
    until(lambda: not answers(server))


def test_workers_end_with_status_0_when_told_to(tiny: Path) -> None:
    with serving(tiny, "--workers", "2") as server:
        until(lambda: answers(server))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0
