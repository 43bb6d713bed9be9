"""How the processes of a launch find each other.

When `torchrun` restarts processes it keeps its store, with the addresses of those that have ended,
and does not say how often it has restarted: it counts that on each machine separately (PyTorch
2.13).
"""

from __future__ import annotations

import secrets
import time

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

HERE, READY = "rondel/here", "rondel/ready"
POLL_SECONDS = 0.02


def store_of_all(seconds: float) -> tuple[Store, int, int]:
    """Return a store that no earlier process used, this process's rank, and their number.

    Each process stores a fresh random number, and then all numbers that it has seen; the processes
    have found each other once these agree. Raises `TimeoutError` if that takes too many seconds.
    """
    store, rank, size = next(rendezvous("env://"))
    own, deadline = secrets.token_hex(8), time.monotonic() + seconds
    here, ready = ([f"{kind}/{other}" for other in range(size)] for kind in (HERE, READY))
    store.set(here[rank], own)
    while time.monotonic() < deadline:
        if store.check(here):
            seen = b"-".join(store.multi_get(here))
            store.set(ready[rank], seen.decode())
            if store.check(ready) and set(store.multi_get(ready)) == {seen}:
                return PrefixStore(f"rondel/{seen.decode()}", store), rank, size
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"not all of {size} processes came within {seconds:.0f} s")
