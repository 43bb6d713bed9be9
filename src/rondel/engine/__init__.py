"""Running a trained model on the CPU without PyTorch: steps and sequences, state in and out."""

from __future__ import annotations

from collections.abc import Mapping

from rondel import kernels
from rondel.cells import build_cell
from rondel.engine.base import Engine, EngineState, Floats
from rondel.engine.cell_kernels import has_kernel
from rondel.engine.numpy_engine import NumpyEngine
from rondel.errors import InputError, RondelError, SlowerWarning, warn_of
from rondel.settings import ModelConfig

PRECISIONS = {
    "fp32": "as it was trained",
    "int8": "weights of 8 bits: faster, and a little less exact",
}

# Numbers multiplied by in half a second, and in the time that a step takes for all else.
LITTLE, SAME_AS_A_STEP = 2_500_000_000, 250_000


def build_engine(
    config: ModelConfig,
    weights: Mapping[str, Floats],
    precision: str = "fp32",
    threads: int | None = None,
    tokens: int | None = None,
) -> Engine:
    """The fastest engine for a model on this machine: compiled where there is a kernel, or NumPy.

    `threads` None uses as many as are worth it. If `tokens` says that no more than so many are to
    be read and written, and NumPy can do that while kernels are loaded, it does. Raises
    `InputError` for an unknown precision, or "int8" where nothing compiled can run.
    """
    check_choices(precision, threads)
    if precision == "fp32" and tokens is not None and _is_little(tokens, weights):
        return NumpyEngine(config, weights)
    reason = f"the cell {config.cell} has none"
    if has_kernel(build_cell(config)):
        reason = kernels.why_unusable() or ""
        if not reason:
            try:
                from rondel.engine.compiled_engine import CompiledEngine

                return CompiledEngine(config, weights, precision, threads)
            except (RondelError, MemoryError):
                raise
            except Exception as error:  # Numba fails in ways of its own; NumPy does it all, slower
                reason = kernels.first_line(error)
                warn_of(f"no compiled kernels, so all is slower: {reason}", SlowerWarning)
    if precision != "fp32":
        raise InputError(
            f"--precision {precision} takes compiled kernels, and there are none ({reason}); "
            "leave it out to work without"
        )
    return NumpyEngine(config, weights)


def _is_little(tokens: int, weights: Mapping[str, Floats]) -> bool:
    """Whether NumPy is done within about half a second; the answer is the same on any machine."""
    return tokens * (SAME_AS_A_STEP + sum(array.size for array in weights.values())) < LITTLE


def check_choices(precision: str, threads: int | None) -> None:
    """Raise `InputError` for an unknown precision, or a number of threads that is none."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads must be a whole number of at least 1, not {threads!r}")


__all__ = ["PRECISIONS", "Engine", "EngineState", "NumpyEngine", "build_engine", "check_choices"]
