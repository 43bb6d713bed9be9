"""`Written`, apart from the kernels because it needs no Numba.

T steps, B streams, K likeliest tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

NO_DISTRIBUTION = -1
"""In place of a token whose logits are not finite."""
NO_TOKEN = -1
"""In place of a likeliest token, where there are fewer."""


class Written(NamedTuple):
    """What streams write in some steps.

    Log-probabilities are in nats, at temperature 1 and without the forbidden token. Those of
    streams that report none are undefined; if no stream reports any, B is 0 in their arrays.
    """

    tokens: npt.NDArray[np.int64]
    """(T, B); `NO_DISTRIBUTION` where the logits are not finite."""
    logprobs: npt.NDArray[np.float64]
    """Of the tokens, (T, B)."""
    likeliest: npt.NDArray[np.int64]
    """The likeliest tokens, likeliest first, then by id, (T, B, K); past a stream's own number of
    them undefined."""
    likeliest_logprobs: npt.NDArray[np.float64]
    """(T, B, K)."""

    def steps(self, part: slice) -> Written:
        """Return the arrays of some of the steps."""
        return Written(
            self.tokens[part],
            self.logprobs[part],
            self.likeliest[part],
            self.likeliest_logprobs[part],
        )
