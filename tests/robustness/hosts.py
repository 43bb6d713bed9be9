"""Two hosts train one model, and one of them is killed: `sudo python tests/robustness/hosts.py`.

The hosts are network namespaces of this machine, joined by a link: each runs `torchrun`, which sees
nothing else of the other. Host b is killed as the run is under way: host a starts again from the
last save, alone, and the run ends well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rondel import load
from rondel.text.corpora import corpora
from rondel.training.callbacks.metrics_file import read_metrics

PREFIX = "rondel"
ADDRESSES = {"a": "10.77.0.1", "b": "10.77.0.2"}
PORT = 29400
TORCHRUN = (
    *("--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3"),
    *(
        "--rdzv-id",
        "hosts",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        f"{ADDRESSES['a']}:{PORT}",
    ),
)
TRAINED = (
    *("--hidden-size", "32", "--batch-size", "8", "--seq-length", "32", "--threads", "1"),
    *("--device", "cpu", "--sample-every", "0", "--eval-every", "25"),
)


@contextmanager
def network() -> Iterator[None]:
    """Two network namespaces and the link between them."""
    ends = {host: f"{PREFIX}-{host}" for host in ADDRESSES}
    try:
        for name in ends.values():
            ip("netns", "add", name)
        ip("link", "add", ends["a"], "type", "veth", "peer", "name", ends["b"])
        for host, name in ends.items():
            ip("link", "set", name, "netns", name)
            ip("-n", name, "address", "add", f"{ADDRESSES[host]}/24", "dev", name)
            ip("-n", name, "link", "set", name, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in ends.values():
            subprocess.run(["ip", "netns", "delete", name], check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def on_host(host: str, *arguments: object, log: Path) -> subprocess.Popen[bytes]:
    """`torchrun -m rondel …` on a host, which is the leader of a session of its own."""
    name = f"{PREFIX}-{host}"
    command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"]
    # Only host a knows the address of the endpoint as its own.
    conf = f"last_call_timeout=40,join_timeout=120,is_host={int(host == 'a')}"
    local = ("--local-addr", ADDRESSES[host], "--rdzv-conf", conf)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": name, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        return subprocess.Popen(
            [*command, *TORCHRUN, *local, "-m", "rondel", *map(str, arguments)],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill_host(host: str) -> None:
    """Kill -9 all that runs there: torchrun's processes have sessions of their own."""
    name = f"{PREFIX}-{host}"
    found = subprocess.run(
        ["ip", "netns", "pids", name], check=True, capture_output=True, text=True
    )
    for process in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def steps(run: Path) -> int:
    rows = read_metrics(run / "metrics.jsonl")
    return int(rows[-1]["step"]) if rows else 0


def wait_for(process: subprocess.Popen[bytes], run: Path, step: int, log: Path) -> None:
    while steps(run) < step:
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)


def campaign(last: int) -> dict[str, object]:
    """What came of it; AssertionError if the run did not end well."""
    with tempfile.TemporaryDirectory() as folder, network():
        text, run = Path(folder) / "coffee.txt", Path(folder) / "run"
        text.write_text(corpora["coffee"].text(size=60_000, seed=1), encoding="utf-8")
        command = ("train", text, "--out", run, "--steps", last, *TRAINED)
        logs = {host: Path(folder) / f"{host}.log" for host in ADDRESSES}
        hosts = {host: on_host(host, *command, log=logs[host]) for host in ADDRESSES}
        try:
            wait_for(hosts["a"], run, last // 4, logs["a"])
            killed_at = steps(run)
            kill_host("b")
            status = hosts["a"].wait(timeout=1800)
        finally:
            for host in ADDRESSES:
                kill_host(host)
        assert status == 0, logs["a"].read_text()
        said = logs["a"].read_text()
        again = [line for line in said.splitlines() if line.startswith("resuming from step")]
        assert len(again) == 1, said
        assert load(run).progress["step"] == last, said
        seen = [int(row["step"]) for row in read_metrics(run / "metrics.jsonl")]
        assert seen == sorted(set(seen)), seen
        return {"killed_at": killed_at, "again": again[0], "end": last}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    print(json.dumps(campaign(options.steps)))
