"""Threads of the numerical libraries, set so that a busy machine does not bring them to a halt."""

from __future__ import annotations

import os

# More than any machine has; each thread has memory of its own.
MOST_THREADS = 1024


def calm_threads() -> None:
    """Set what the libraries read as they load; what the user has set already stands.

    Recurrent steps are many small matmuls. Two BLAS threads gain little on them, and threads that
    spin while they wait lose most of their speed as soon as another process wants a core.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
