"""How the processes of a launch find those that were started together with them.

`torchrun` keeps its store when it starts processes again, with the addresses of those that are gone
(PyTorch 2.13), and tells nobody how often it has: restarts are counted on each machine by itself.
"""

from __future__ import annotations

import secrets
import time

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

HERE, READY = "rondel/here", "rondel/ready"
POLL_SECONDS = 0.02


def store_of_all(seconds: float) -> tuple[Store, int, int]:
    """A store that is new to all processes, this one's rank, and how many they are.

    Each leaves a number that was drawn anew, and says which numbers it has seen; all have met as
    soon as all say the same. Raises `TimeoutError` if they have not within so many seconds.
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
