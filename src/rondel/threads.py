"""Thread settings of the numerical libraries, for machines that run other programs too."""

from __future__ import annotations

import os

# More threads than any machine has cores: each one allocates memory.
MOST_THREADS = 1024


def set_thread_defaults() -> None:
    """Set the environment variables that the libraries read on import, if the user has not.

    Recurrent steps are many small matmuls. A second BLAS thread gains little on them, and threads
    that spin while they wait lose most of their speed when another process needs a core.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
