"""One step of a beam search for the tokens of a gap.

Shapes: T tokens so far, B beams, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.engine.base import EngineState, Ids
from rondel.engine.probability import Doubles, largest


def extend_beams(
    tokens_TB: Ids, scores_B: Doubles, logprobs_BV: Doubles, width: int
) -> tuple[Ids, Doubles, npt.NDArray[np.intp]]:
    """Extend beams by one token each, and keep the `width` best of all continuations, best first.

    Returns their tokens (T + 1, B), their scores (B,) and the rows (B,) of their parents.
    """
    totals_BV = scores_B[:, None] + logprobs_BV
    best = largest(totals_BV.ravel(), width)
    rows, tokens = np.divmod(best, totals_BV.shape[1])
    return np.concatenate([tokens_TB[:, rows], tokens[None]]), totals_BV.ravel()[best], rows


def state_of_rows(state: EngineState, rows: npt.NDArray[np.intp]) -> EngineState:
    """Return the engine's state for some rows of a batch, in the order given."""
    return tuple(np.ascontiguousarray(layers[:, rows]) for layers in state)
