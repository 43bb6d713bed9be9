"""What every benchmark writes: the machine it ran on, a table, and JSON with both."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PACKAGES = ("rondel", "torch", "numpy", "numba", "onnxruntime")
# What of a processor decides how fast matmuls are.
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_tile", "amx_int8", "asimd")
VARIABLES = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def arguments_for(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark that runs things in turn takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="turns of each contestant (default: 7)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument(
        "--smoke", action="store_true", help="only see that it runs: tiny sizes, figures of no use"
    )
    return parser


def machine() -> dict[str, Any]:
    """Processor, cores, versions, and how busy the machine was when this was asked."""
    import torch

    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "flags": [flag for flag in FLAGS if flag in _cpu_flags()],
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def describe(at: dict[str, Any]) -> str:
    """The machine in a line, to stand under a table."""
    versions = ", ".join(f"{name} {version}" for name, version in at["versions"].items())
    load = at["load_average"]
    return (
        f"{at['processor']} ({' '.join(at['flags'])}), {at['cores']} cores, "
        f"load {'unknown' if load is None else f'{load:.2f}'} at the start; {versions}"
    )


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table, headed by the first one's keys; numbers stand to the right."""
    heads = list(rows[0])
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    right = [isinstance(rows[0][head], int | float) for head in heads]

    def line(texts: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if to_right else "-" * width
        for width, to_right in zip(widths, right, strict=True)
    ]
    return "\n".join([line(heads), line(rule), *map(line, cells)])


def write_json(path: Path | None, results: Any, at: dict[str, Any]) -> None:
    """Write results and the machine they come from, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": at, "results": results}, indent=1) + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpu_flags() -> list[str]:
    return (_cpuinfo("flags") or _cpuinfo("Features")).split()


def _cpuinfo(key: str) -> str:
    """What Linux says of the first processor under this key; empty elsewhere."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.partition(":")[0].strip() == key:
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
