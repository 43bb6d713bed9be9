"""Running a trained model on the CPU without PyTorch: steps and sequences, state in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from rondel import kernels
from rondel.engine.base import Engine, EngineState, Floats, Stack
from rondel.engine.cell_kernels import has_kernel
from rondel.engine.numpy_engine import NumpyEngine, NumpyStack
from rondel.engine.stack import StackConfig, StackWeights
from rondel.errors import InputError, RondelError, SlowerWarning, warn_of
from rondel.settings import ModelConfig
from rondel.threads import MOST_THREADS
from rondel.values import whole

Made = TypeVar("Made")

PRECISIONS = {
    "fp32": "as it was trained",
    "int8": "weights of 8 bits: faster, and a little less exact",
}

# Numbers multiplied by in half a second, and in the time that a step takes for all else.
LITTLE, SAME_AS_A_STEP = 2_500_000_000, 250_000


def build_engine(
    config: ModelConfig | StackConfig,
    weights: Mapping[str, Floats],
    precision: str = "fp32",
    threads: int | None = None,
    tokens: int | None = None,
) -> Engine:
    """The fastest engine for a model on this machine: compiled where there is a kernel, or NumPy.

    It is made of the model's stack `core` and its `head`. `threads` None uses as many as are worth
    it. If `tokens` says that no more than so many are to be read and written, and NumPy can do that
    while kernels are loaded, it does. Raises `InputError` for an unknown precision, or "int8" where
    nothing compiled can run.
    """
    check_choices(precision, threads)
    stack = StackConfig.of(config)
    if precision == "fp32" and _is_little(tokens, weights):
        return NumpyEngine(config, weights)

    def make() -> Engine:
        from rondel.engine.compiled_engine import CompiledEngine

        return CompiledEngine(stack, weights, precision, threads)

    try:
        return _compiled(stack, make)
    except _NoKernelsError as reason:
        if precision != "fp32":
            raise InputError(
                f"--precision {precision} takes compiled kernels, and there are none ({reason}); "
                "leave it out to work without"
            ) from None
    return NumpyEngine(config, weights)


def build_stack(
    config: StackConfig,
    weights: Mapping[str, Floats],
    prefix: str,
    threads: int | None = None,
    tokens: int | None = None,
) -> Stack:
    """The fastest stack for the arrays under a prefix of a model's, such as "encoder.".

    `threads` and `tokens` are as for `build_engine`.
    """
    if _is_little(tokens, weights):
        return NumpyStack(config, weights, prefix)

    def make() -> Stack:
        from rondel.engine.compiled_engine import CompiledStack

        return CompiledStack(config, StackWeights.of(config, weights, prefix), threads=threads)

    try:
        return _compiled(config, make)
    except _NoKernelsError:
        return NumpyStack(config, weights, prefix)


class _NoKernelsError(Exception):
    """There are no compiled kernels for a stack; the message is the reason."""


def _compiled(config: StackConfig, make: Callable[[], Made]) -> Made:
    """What `make` makes of compiled kernels, or `_NoKernelsError`."""
    if config.constant_size:
        raise _NoKernelsError("a stack with a constant input has none")
    unusable = kernels.why_unusable()
    if unusable:
        raise _NoKernelsError(unusable)
    if not has_kernel(config.cell):
        raise _NoKernelsError(f"the cell {type(config.cell).__name__} has none")
    try:
        return make()
    except (RondelError, MemoryError):
        raise
    except Exception as error:  # Numba fails in ways of its own; NumPy does it all, slower
        reason = kernels.first_line(error)
        warn_of(f"no compiled kernels, so all is slower: {reason}", SlowerWarning)
        raise _NoKernelsError(reason) from error


def _is_little(tokens: int | None, weights: Mapping[str, Floats]) -> bool:
    """Whether NumPy is done within about half a second; the answer is the same on any machine."""
    if tokens is None:
        return False
    return tokens * (SAME_AS_A_STEP + sum(array.size for array in weights.values())) < LITTLE


def check_choices(precision: str, threads: int | None) -> None:
    """Raise `InputError` for an unknown precision, or an invalid number of threads."""
    if precision not in PRECISIONS:
        raise InputError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if threads is not None:
        whole("threads", threads, at_least=1, below=MOST_THREADS + 1)


__all__ = [
    "PRECISIONS",
    "Engine",
    "EngineState",
    "NumpyEngine",
    "NumpyStack",
    "Stack",
    "StackConfig",
    "build_engine",
    "build_stack",
    "check_choices",
]
