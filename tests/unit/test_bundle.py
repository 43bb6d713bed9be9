"""Modules become one script; what is of another form is refused."""

from __future__ import annotations

import subprocess

import pytest
from _javascript import NODE

from rondel.exporters.bundle import bundle
from rondel.pages import WRITING

MODULES = {
    "main.js": 'import { twice as double, Box } from "./parts/box.js";\n'
    'import { base } from "./base.js";\n\n'
    "console.log(double(new Box(base).value));\n",
    "parts/box.js": 'import { base } from "../base.js";\n\n'
    "const hidden = base;\n"
    "export const twice = x => 2 * x;\n"
    "export class Box {\n  constructor(value) { this.value = value + hidden; }\n}\n"
    "export function* none() {}\nexport async function later() {}\n",
    "base.js": "export const base = 10;\n",
}


def test_it_does_what_the_modules_do() -> None:
    script = bundle(MODULES, "main.js")
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True)
    assert done.stdout == "40\n"


@pytest.mark.parametrize(
    "line",
    ['import box from "./box.js";', "export default 1;", "export { base };", "export * from 'x';"],
)
def test_another_form_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"base\.js: no import or export of this form"):
        bundle({**MODULES, "base.js": f"{line}\n"}, "main.js")


def test_a_circle_is_refused() -> None:
    circle = 'import { base } from "./main.js";\n'
    with pytest.raises(ValueError, match=r"main\.js imports base\.js imports main\.js"):
        bundle({"main.js": circle.replace("main", "base"), "base.js": circle}, "main.js")


def test_the_page_of_the_service_has_this_form() -> None:
    modules = {file.name: file.read_text(encoding="utf-8") for file in WRITING.glob("*.js")}
    assert "// client.js" in bundle(modules, "page.js")
