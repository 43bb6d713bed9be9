"""The device to train on, and its precision, with clear errors if it is not available."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext

import torch

from rondel.errors import InputError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the named device (`auto`: a GPU if there is one); `InputError` if it is missing."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, is_available in available.items() if is_available)
    if not available[name]:
        raise InputError(f"PyTorch finds no {name} device here; use --device cpu or auto")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return a context in which matmuls run in `precision` (parameters and losses stay fp32)."""
    if precision == "fp32":
        return nullcontext()
    if precision == "fp16" and device.type == "cpu":
        raise InputError("--precision fp16 needs a GPU; on a CPU use fp32 or bf16")
    if device.type == "cpu" and not _has_bf16_layers():
        raise InputError(
            "--precision bf16: PyTorch has no layers of 16 bits for this processor; use fp32"
        )
    return torch.autocast(device.type, AUTOCAST[precision])


@functools.cache
def _has_bf16_layers() -> bool:
    """Return whether an LSTM runs under autocast on this CPU: oneDNN has none for older ones."""
    with torch.random.fork_rng(devices=[]):
        layer, x_TBE = torch.nn.LSTM(8, 8), torch.zeros(2, 2, 8)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            layer(x_TBE)[0].sum().backward()
    except RuntimeError:
        return False
    return True
