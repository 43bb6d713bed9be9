"""The rooms: imports point down the page, and using a model needs no PyTorch.

The rules themselves stand in `pyproject.toml`, under `[tool.importlinter]`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import rondel

ROOT = Path(__file__).parents[1]
TEXT = "The coffee is hot.\nThe cup is full, and the table is round.\n" * 120

# Uses a model in every way that there is, with PyTorch not to be had, and prints what was imported.
USE = """
import json, sys
sys.modules["torch"] = None
import rondel
from rondel.cli import cli

folder, text = sys.argv[1:]
model = rondel.load(folder)
assert model.sample("The ", length=30, seed=1, top_p=0.9).startswith("The ")
assert model.evaluate("The cup is hot.").tokens > 0
assert len(model.score("The cup is hot.", by="word")["text"]) == 4
assert len(model.rescore([("a", -1.0, "The cup."), ("a", -1.0, "The cop.")])["id"]) == 2
for arguments in (
    ["sample", folder, "--prime", "The ", "-n", "20", "--temperature", "0.5"],
    ["sample", folder, "-n", "10", "--mode", "beam", "--beam-width", "2", "--count", "2"],
    ["eval", folder],
    ["eval", folder, text, "--json"],
    ["eval", folder, text, "--cache"],
    ["score", folder, text, "--by", "word"],
    ["score", folder, text, "--worst", "1", "--reset"],
    ["compare", folder, "--on", text],
    ["show", folder],
    ["corpora"],
    ["corpora", "--print", "coffee", "--size", "100"],
):
    cli.main(arguments, standalone_mode=False)
del sys.modules["torch"]
print()
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

# Runs a command, and writes on standard error what was imported.
SAMPLE = """
import atexit, json, sys
atexit.register(lambda: json.dump(list(sys.modules), sys.stderr))
from rondel.cli import main
main()
"""
# What the first character of `rondel sample` is not to wait for.
UNUSED = {
    "rondel.evaluation",
    "rondel.inspection",
    "rondel.models",
    "rondel.serving",
    "rondel.text.reading",
    "rondel.text.word_vectors",
    "rondel.training",
    "csv",
    "gzip",
    "matplotlib",
    "numba",
    "numpy.ma",
    "rich",
    "tomlkit",
    "torch",
}

# Trains where PyTorch, TensorBoard and Matplotlib are not installed.
TRAIN = """
import sys
for name in ("torch", "tensorboard", "matplotlib"):
    sys.modules[name] = None
from rondel.cli import main
main()
"""


def lint_imports(folder: Path, *, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the `pyproject.toml` in a folder; `path` is where rondel lies."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path or "")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_files_name_is_enough_to_find_it():
    names = Counter(file.name for file in Path(rondel.__file__).parent.rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} == {
        "__init__.py",
        "__main__.py",
        "base.py",
    }


def test_imports_point_down_the_page():
    answer = lint_imports(ROOT, path=ROOT / "src")
    assert answer.returncode == 0, answer.stdout
    assert " 0 broken" in answer.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("engine/base.py", "import torch", "What uses a model"),
        ("text/reading.py", "import rondel.training.devices", "What uses a model"),
        ("models/base.py", "import rondel.api", "Imports point down the page"),
        ("cells/gru.py", "import rondel.text.sentences", "Imports point down the page"),
        (
            "evaluation/ngram.py",
            "import rondel.generation.stream",
            "Imports point down the page",
        ),
        ("reference/model.py", "import rondel.errors", "Imports point down the page"),
        ("generation/sampling/sampler.py", "import rondel.reference", "Only the NumPy learner"),
        ("generation/stream.py", "import rondel.generation.scheduler", "A text is asked for above"),
        ("training/ranks.py", "import rondel.training.interrupts", "No cycle of imports"),
    ],
)
def test_an_import_up_the_page_is_found(tmp_path: Path, module: str, line: str, contract: str):
    shutil.copytree(
        ROOT / "src" / "rondel", tmp_path / "rondel", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "rondel" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    answer = lint_imports(tmp_path, path=tmp_path)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    broken = [entry for entry in answer.stdout.splitlines() if entry.endswith("BROKEN")]
    assert any(entry.startswith(contract) for entry in broken), broken


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run: a tiny model and its text."""
    folder = tmp_path_factory.mktemp("layers") / "run"
    rondel.train(
        text=TEXT, out=folder, backend="numpy", hidden_size=8, batch_size=4, steps=2, quiet=True
    )
    return folder


def test_a_model_is_used_without_torch(run: Path, tmp_path: Path):
    other = tmp_path / "other.txt"
    other.write_text("The table is hot.\n", encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-c", USE, run, other], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    imported = set(json.loads(answer.stdout.splitlines()[-1]))
    assert "numpy" in imported
    assert imported & {"torch", "tensorboard", "matplotlib", "gensim"} == set()


def test_rondel_sample_imports_nothing_that_it_does_not_use(run: Path):
    answer = subprocess.run(
        [sys.executable, "-c", SAMPLE, "sample", run, "-n", "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(json.loads(answer.stderr))
    assert imported & UNUSED == set()


def test_the_numpy_backend_trains_and_resumes_without_torch(tmp_path: Path):
    text, out = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(TEXT, encoding="utf-8")
    shape = ["--hidden-size", "8", "--batch-size", "4", "--backend", "numpy"]
    for arguments in (
        ["train", text, "--out", out, "--steps", "4", *shape],
        ["train", "--resume", out, "--steps", "8"],
    ):
        answer = subprocess.run(
            [sys.executable, "-c", TRAIN, *arguments], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
    assert rondel.load(out).progress["step"] == 8


def test_without_torch_the_torch_backend_says_what_to_install(tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-c", TRAIN, "train", text, "--out", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == [
        'rondel: this needs torch, which is not installed: pip install "rondel[train]"'
    ]
    assert not (tmp_path / "run").exists()
