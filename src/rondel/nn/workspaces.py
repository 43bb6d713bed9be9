"""Workspaces of the compiled kernels that are free to be used again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

KEPT = 4


class Workspaces:
    """One of each of the shapes used most recently. Safe for several threads at once."""

    def __init__(self) -> None:
        self._free: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> Any | None:
        """The workspace of that shape, which is the caller's until it is put back."""
        with self._lock:
            return self._free.pop(key, None)

    def put_back(self, key: Hashable, workspace: Any) -> None:
        """Keep a workspace for the next one who asks for its shape."""
        with self._lock:
            self._free[key] = workspace
            self._free.move_to_end(key)
            while len(self._free) > KEPT:
                self._free.popitem(last=False)
