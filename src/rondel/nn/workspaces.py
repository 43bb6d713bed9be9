"""A pool of the compiled kernels' workspaces, for reuse."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

KEPT = 4


class Workspaces:
    """One free workspace for each of the most recently used shapes. Thread-safe."""

    def __init__(self) -> None:
        self._free: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> Any | None:
        """Remove and return the workspace of a shape; None if none is free."""
        with self._lock:
            return self._free.pop(key, None)

    def put_back(self, key: Hashable, workspace: Any) -> None:
        """Return a workspace to the pool; the least recently used may be dropped."""
        with self._lock:
            self._free[key] = workspace
            self._free.move_to_end(key)
            while len(self._free) > KEPT:
                self._free.popitem(last=False)
