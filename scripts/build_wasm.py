"""Build src/rondel/exporters/javascript/engine.wasm of engine.c; `--check` only compares.

The compiler is Clang, as the package ziglang of constraints.txt has it: one version of it gives the
same bytes on every machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "src" / "rondel" / "exporters" / "javascript"
SOURCE, BUILT = FOLDER / "engine.c", FOLDER / "engine.wasm"
OPTIONS = (
    *("--target=wasm32-freestanding", "-mcpu=generic+simd128", "-O3", "-ffreestanding"),
    *("-fno-builtin", "-nostdlib", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"),
    # The stack lies below the first 64 KiB, which machine.js leaves alone.
    *("-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--import-memory", "-Wl,-z,stack-size=16384"),
    "-Wl,--strip-all",
)


def build() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "engine.wasm"
        # From its own folder, so that no path of this machine is in what is built.
        command = (sys.executable, "-m", "ziglang", "cc", *OPTIONS, "-o", out, SOURCE.name)
        subprocess.run(command, cwd=FOLDER, check=True)
        return out.read_bytes()


def main() -> None:
    built = build()
    if "--check" not in sys.argv[1:]:
        BUILT.write_bytes(built)
        print(f"{BUILT.name}: {len(built):,} bytes")
    elif not BUILT.is_file() or BUILT.read_bytes() != built:
        sys.exit("engine.wasm is not what engine.c builds to: run scripts/build_wasm.py")


if __name__ == "__main__":
    main()
