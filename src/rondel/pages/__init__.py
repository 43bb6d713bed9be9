"""Pages that stand alone in one file: templates, and the data written into them.

A template has its data in `<script type="application/json" id="data">`. No page asks anything of
the network.
"""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

MARK = "/*DATA*/"


def fill_page(template: str, data: Any) -> str:
    """The page that a template in this folder gives with some data, as JSON has it."""
    page = importlib.resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    # ASCII, whatever a text holds; and no text may end the element that it stands in.
    written = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    head, tail = page.split(MARK)
    return head + written + tail
