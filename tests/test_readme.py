"""What the README says to type is typed: every command and every line of Python in it.

Minutes are shortened, all by the same factor. Everything runs in order in one folder, which holds
a `book.txt`, except for the two commands of a fresh clone, which run in the checkout.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from _runs import rondel
from _serving import serving

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO, TEST = "python3 scripts/demo.py", "python3 scripts/test.py"
SHORTER = 600
CHARACTERS = 60_000


def blocks(*languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [block for language, block in fenced if language in languages]


def shell_lines() -> list[str]:
    """Every command of the shell blocks, without its comment."""
    text = "".join(blocks("bash", "sh")).replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [shlex.join(line) for line in words if line]


def rondel_lines() -> list[str]:
    return [line for line in shell_lines() if line.startswith("rondel ")]


def shortened(text: str) -> str:
    """The same with every `--minutes N` and `minutes=N` so many times smaller."""

    def shorten(match: re.Match[str]) -> str:
        return f"{match[1]}{float(match[2]) / SHORTER:g}"

    return re.sub(r"(--minutes |minutes=)([\d.]+)", shorten, text)


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it must end well, and without a traceback."""
    answer = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert answer.returncode == 0, f"{command}: {answer.stdout}{answer.stderr}"
    assert "Traceback" not in answer.stderr
    return answer.stdout


def served(*arguments: str, cwd: Path) -> str:
    """What a server writes; it ends well when it is told to."""
    with serving(*arguments, cwd=cwd) as server:
        text = server.get("/").text
        server.process.terminate()
        assert server.process.wait(60) == 0
    return text


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a book in it, as the README takes for granted."""
    folder = tmp_path_factory.mktemp("readme")
    prose = "\n".join(topics[name] for name in sorted(topics))[:CHARACTERS]
    (folder / "book.txt").write_text(prose, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def answers(desk: Path) -> dict[str, str]:
    """What each of the README's `rondel …` lines prints, run one after the other."""
    found = {}
    for line in rondel_lines():
        arguments = shlex.split(shortened(line))[1:]
        if arguments[0] == "train" and not {"--minutes", "--steps", "--epochs"} & set(arguments):
            arguments += ["--minutes", "0.02"]
        if arguments[0] == "serve":
            found[line] = served(*arguments[1:], cwd=desk)
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(desk)
            done = rondel(*arguments)
        assert done.exit_code == 0, (line, done.output)
        found[line] = done.output
    return found


def test_the_readme_has_commands_and_python_to_run():
    assert {line.split()[1] for line in rondel_lines()} >= {"train", "sample", "eval", "show"}
    assert blocks("python")
    assert [line for line in shell_lines() if line.startswith("python3 ")] == [DEMO, TEST]


def test_every_command_of_the_shell_blocks_is_one_that_these_tests_run():
    assert [line for line in shell_lines() if line not in (DEMO, TEST, *rondel_lines())] == []


@pytest.mark.parametrize("line", rondel_lines())
def test_a_command_does_what_the_readme_says(line: str, answers: dict[str, str], desk: Path):
    answer, words = answers[line], shlex.split(line)
    assert answer.strip()
    if "--prime" in words:
        assert answer.startswith(words[words.index("--prime") + 1])
    if "--out" in words:
        made = desk / words[words.index("--out") + 1]
        assert made.is_file() or (made / "model.json").is_file()
    if words[1] == "eval":
        assert "bits per character" in answer


def test_a_run_s_folder_holds_what_the_readme_draws(answers: dict[str, str], desk: Path):
    (drawing,) = [block for block in blocks("") if block.startswith("runs/")]
    root, *lines = drawing.splitlines()
    words = {word for line in lines for word in re.split(r" {2,}", line)}
    files = {word for word in words if re.fullmatch(r"[a-z]+(\.[a-z]+|/)", word)}
    assert {"model.json", "tokenizer.json", "weights.safetensors", "best/"} <= files
    assert [name for name in files if not (desk / root / name).exists()] == []


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_runs(code: str, desk: Path, answers: dict[str, str]):
    assert run(sys.executable, "-W", "error", "-c", shortened(code), cwd=desk).strip()


def test_the_demo_trains_and_prints_a_sample(tmp_path: Path):
    taken, made = tmp_path / "coffee", tmp_path / "coffee-2"
    taken.mkdir()
    script = shlex.split(DEMO)[1:]
    output = run(sys.executable, *script, "--minutes", "0.02", "--out", taken, cwd=ROOT)
    assert (made / "best" / "model.json").is_file()
    assert not list(taken.iterdir())
    training, sample = output.split(f"sample {made / 'best'} --temperature 0.8\n")[-2:]
    assert "bits/character" in training
    assert len(sample) > 400


def test_the_test_command_is_what_ci_runs():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-1].removeprefix("exec ") == TEST


@pytest.mark.parametrize("name", ["_environment.py", "demo.py", "test.py"])
def test_the_two_commands_need_nothing_but_python(name: str):
    tree = ast.parse((ROOT / "scripts" / name).read_text(encoding="utf-8"))
    assert set(imported(tree)) <= {"_environment", *sys.stdlib_module_names}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]
