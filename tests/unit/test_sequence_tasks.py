"""The tagger of docs/sequence-tasks.md learns its task, with the stack and the loop."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "sequence-tasks.md"


def test_the_page_s_program_learns_to_tag(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.S | re.M)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *validated, reason, last = done.stdout.splitlines()
    assert [line.split(":")[0] for line in validated] == ["step 50", "step 100", "step 150"]
    assert reason == "finished"
    right, commonest = (float(number) for number in re.findall(r"([\d.]+)%", last))
    assert right > 90 > 60 > commonest
