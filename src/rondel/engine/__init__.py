"""Run a trained model on the CPU without PyTorch: steps and sequences, with explicit state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from rondel import kernels
from rondel.engine.base import Engine, EngineState, Floats, Stack
from rondel.engine.head import head_of
from rondel.engine.headed_stack import headed
from rondel.engine.kernel_lookup import has_kernel
from rondel.engine.numpy_engine import NumpyEngine, NumpyStack
from rondel.engine.stack_config import StackConfig, StackWeights
from rondel.errors import InputError, RondelError, SlowerWarning, warn_of
from rondel.settings import ModelConfig
from rondel.softmaxes import softmax_of
from rondel.threads import MOST_THREADS
from rondel.values import whole

Made = TypeVar("Made")

PRECISIONS = {
    "fp32": "as it was trained",
    "int8": "weights of 8 bits: faster, and a little less exact",
}

# Multiplications that NumPy does in half a second, and in the time of a step's overhead.
SMALL_JOB, STEP_OVERHEAD = 2_500_000_000, 250_000


def build_engine(
    config: ModelConfig | StackConfig,
    weights: Mapping[str, Floats],
    precision: str = "fp32",
    threads: int | None = None,
    tokens: int | None = None,
) -> Engine:
    """Build the fastest engine for a model on this machine: compiled if it has kernels, or NumPy.

    It runs the model's stack `core` and its `head`. `threads` None uses as many as are worth it.
    `tokens` is the most that will be read and written, if it is known: NumPy runs a job that it
    finishes before kernels are loaded. Raises `InputError` for an unknown precision, or for "int8"
    where there are no compiled kernels.
    """
    check_choices(precision, threads)
    stack = StackConfig.of(config)
    if precision == "fp32" and _is_small_job(tokens, weights):
        return NumpyEngine(config, weights)

    def make() -> Engine:
        from rondel.engine.compiled_engine import CompiledEngine, CompiledStack

        if isinstance(config, StackConfig) or softmax_of(config).is_linear:
            return CompiledEngine(stack, weights, precision, threads)
        arrays = StackWeights.of(stack, weights, "core.")
        layers = CompiledStack(stack, arrays, precision=precision, threads=threads)
        return headed(layers, head_of(weights, config))

    try:
        return _compiled(stack, make)
    except _NoKernelsError as reason:
        if precision != "fp32":
            raise InputError(
                f"--precision {precision} needs compiled kernels, and there are none ({reason}); "
                "leave it out to do without them"
            ) from None
    return NumpyEngine(config, weights)


def build_stack(
    config: StackConfig,
    weights: Mapping[str, Floats],
    prefix: str,
    threads: int | None = None,
    tokens: int | None = None,
) -> Stack:
    """Build the fastest stack for those arrays of a model under a prefix, such as "encoder.".

    `threads` and `tokens` are as for `build_engine`.
    """
    if _is_small_job(tokens, weights):
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
    """Return what `make` builds on compiled kernels; raises `_NoKernelsError`."""
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
    except Exception as error:  # Numba raises many types
        reason = kernels.first_line(error)
        warn_of(f"no compiled kernels, so everything is slower: {reason}", SlowerWarning)
        raise _NoKernelsError(reason) from error


def _is_small_job(tokens: int | None, weights: Mapping[str, Floats]) -> bool:
    """Whether NumPy needs less than about half a second; the same on every machine."""
    if tokens is None:
        return False
    return tokens * (STEP_OVERHEAD + sum(array.size for array in weights.values())) < SMALL_JOB


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
