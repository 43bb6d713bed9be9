"""How fast an exported page writes, in headless Chromium.

    python benchmarks/page.py [--rounds 3] [--json FILE]

Models of random weights are exported with `rondel export --to html`, opened from disk, and written
with as a person would. The first character is timed from the moment that the page is opened. Speed
is that of a text too long to be told how likely each character was; beside it, that of one that is,
with five alternatives for each character. Medians of all rounds, each of which opens the page anew.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from _report import arguments_for, describe, machine, table, write_json
from _rondel import Shape, configured
from playwright.sync_api import Browser, sync_playwright

from rondel.artifact import Artifact
from rondel.exporters import exporters
from rondel.exporters.base import write_export
from rondel.models.language_model_module import LanguageModel
from rondel.text.tokenizers.char import CharTokenizer

SHAPES = (Shape("lstm", 3, 128), Shape("lstm", 2, 512), Shape("gru", 3, 128), Shape("gru", 2, 512))
SMOKE = (Shape("lstm", 1, 16),)
PRECISIONS = ("fp32", "int8")
LONG, TOLD = 21_000, 2_000
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

WRITE = """
async length => {
  const paper = document.getElementById("paper"), find = id => document.getElementById(id);
  find("length").value = length;
  const began = performance.now();
  let first = null;
  const done = new Promise(end => new MutationObserver(() => {
    first ??= paper.textContent ? performance.now() : null;
    if (first !== null && paper.getAttribute("aria-busy") === "false") end(performance.now());
  }).observe(paper, { childList: true, attributes: true }));
  find("write").click();
  const seconds = (await done - began) / 1000;
  return { first, seconds, characters: paper.textContent.length };
}
"""


def main() -> None:
    options = arguments_for(__doc__).parse_args()
    at = machine()
    rounds = options.rounds or (1 if options.smoke else 3)
    long, told = (200, 100) if options.smoke else (LONG, TOLD)
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    rows = []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for shape in SMOKE if options.smoke else SHAPES:
            for precision in PRECISIONS:
                page = Path(home) / "page.html"
                write_page(page, shape, precision)
                rows.append(measure(browser, page, shape, precision, rounds, long, told))
    print(table(rows))
    print(describe(at))
    write_json(options.json, rows, at)


def write_page(page: Path, shape: Shape, precision: str) -> None:
    config = configured(shape).model
    characters = "".join(map(chr, range(32, 32 + config.vocab_size - 1)))
    model = Artifact(
        config, CharTokenizer("text", characters), LanguageModel(config).export(), {}, (" ",)
    )
    write_export(page, exporters["html"].content(model, shape.model, precision))


def measure(
    browser: Browser, page: Path, shape: Shape, precision: str, rounds: int, long: int, told: int
) -> dict[str, Any]:
    firsts, fast, shown = [], [], []
    for _ in range(rounds):
        opened = browser.new_page()
        opened.goto(f"{page.as_uri()}#prime=a&seed=1")
        opened.wait_for_selector("body[data-ready]")
        result = opened.evaluate(WRITE, told)
        firsts.append(result["first"])
        shown.append(result["characters"] / result["seconds"])
        result = opened.evaluate(WRITE, long)
        fast.append(result["characters"] / result["seconds"])
        opened.close()
    row = {
        "model": shape.model,
        "weights": precision,
        "page, MB": page.stat().st_size / 1e6,
        "first character, ms": statistics.median(firsts),
        "characters/s": statistics.median(fast),
        "with likelihoods": statistics.median(shown),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
