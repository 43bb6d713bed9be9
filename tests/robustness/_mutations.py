"""Ways to damage a folder: any file of it, at random, so that a seed gives the same damage again.

`mutate(folder, rng)` does one and says in words what it did. `seal(folder)` then makes the sums
right again, as whoever writes a folder by hand or by another program would.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from rondel.artifact import digest, fingerprint
from rondel.folder_files import checksum

Damage = Callable[[Path, random.Random], str]
DEEP, LONG = 100_000, 5_000

# Stand in JSON for text that no value of Python becomes.
RAW = {
    "@deep@": "[" * DEEP + "]" * DEEP,
    "@deep object@": '{"a":' * DEEP + "1" + "}" * DEEP,
    "@long@": "9" * LONG,
    "@inf@": "1e999",
    "@nan@": "NaN",
}
VALUES = (
    None, True, False, 0, -1, 1, 2, 7, 255, 2**31, 2**53, 2**63, 10**30, 10**400, 0.5, -1.5, 1e-300,
    1e308, "", "x", "\ud800", "lstm", "gru", "rnn", "char", "word", "language-model",
    "bidirectional", "sentence-vae", [], {}, [[]], [None], ["x", "x"], {"a": 1}, *RAW,
)  # fmt: skip


def mutate(folder: Path, rng: random.Random) -> str:
    """Damage one entry of a folder in one way; in words, what was done."""
    entries = sorted(path for path in folder.rglob("*") if "tensorboard" not in path.parts)
    path = rng.choice(entries)
    ways = WAYS_OF_FILES if path.is_file() else WAYS_OF_ENTRIES
    if path.suffix == ".json" and rng.random() < 0.7:
        ways = (change_json,)
    elif path.suffix == ".safetensors" and rng.random() < 0.6:
        ways = (change_arrays, change_arrays, change_header)
    elif path.suffix in (".jsonl", ".toml") and rng.random() < 0.6:
        ways = (change_line,)
    done = rng.choice(ways)(path, rng)
    return f"{path.relative_to(folder)}: {done}"


# Any file


def truncate(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    keep = rng.choice([0, 1, 8, rng.randrange(len(data) + 1)])
    path.write_bytes(data[:keep])
    return f"cut to {keep} bytes"


def flip(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    places = [
        rng.randrange(8 * len(data)) for _ in range(rng.choice([1, 1, 1, 2, 8]) if data else 0)
    ]
    for place in places:
        data[place // 8] ^= 1 << place % 8
    path.write_bytes(bytes(data))
    return f"bits {places} flipped"


def overwrite(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    begin = rng.randrange(len(data) + 1)
    length = rng.choice([1, 8, 100, len(data)])
    filling = rng.choice([0, 255, 10, 34])
    data[begin : begin + length] = bytes([filling]) * len(data[begin : begin + length])
    path.write_bytes(bytes(data))
    return f"{length} bytes from {begin} on set to {filling}"


def insert(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    place = rng.choice([0, len(data), rng.randrange(len(data) + 1)])
    more = rng.choice([b"\0", b"\n", b"{}", b"\xff\xfe", data[:50], bytes(rng.randbytes(20))])
    path.write_bytes(data[:place] + more + data[place:])
    return f"{more!r:.40} put in at {place}"


def take_another(path: Path, rng: random.Random) -> str:
    other = rng.choice([p for p in path.parent.iterdir() if p.is_file()])
    path.write_bytes(other.read_bytes())
    return f"replaced by {other.name}"


def change_line(path: Path, rng: random.Random) -> str:
    lines = path.read_text().splitlines(keepends=True)
    if not lines:
        return flip(path, rng)
    place = rng.randrange(len(lines))
    value = rng.choice(VALUES)
    text = RAW.get(value, json.dumps(value)) if isinstance(value, str) else json.dumps(value)
    name, found, _ = lines[place].partition("=" if path.suffix == ".toml" else ":")
    changed = rng.choice(["", lines[place] * 2, text + "\n", f"{name}{found}{text}\n", "[x]\n"])
    lines[place] = changed
    path.write_text("".join(lines), errors="surrogatepass")
    return f"line {place} is {changed!r:.60}"


# Any entry, files and folders


def remove(path: Path, rng: random.Random) -> str:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return "removed"


def replace(path: Path, rng: random.Random) -> str:
    remove(path, rng)
    kind = rng.choice(["folder", "file", "loop", "nowhere", "/dev/zero", "/dev/null", "pipe"])
    if kind == "folder":
        path.mkdir()
        (path / "something").touch()
    elif kind == "file":
        path.write_bytes(rng.choice([b"", b"{}", b"[]", b"something"]))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name if kind == "loop" else kind)
    return f"replaced by {kind}"


# JSON


def change_json(path: Path, rng: random.Random) -> str:
    try:
        values = json.loads(path.read_text())
    except ValueError:
        return flip(path, rng)
    done = change_values(values, rng)
    path.write_text(to_text(values), encoding="utf-8", errors="surrogatepass")
    return done


def change_values(values: Any, rng: random.Random) -> str:
    """Change something in values of JSON, in place."""
    places = list(_places(values))
    if not places:
        return "nothing in it"
    holder, key = rng.choice(places)
    name = f"{key!r:.40}"
    if rng.random() < 0.15:
        del holder[key]
        return f"{name} left out"
    if isinstance(holder, dict) and rng.random() < 0.15:
        renamed = rng.choice([f"{key}x", key[:-1], key.upper()])
        holder[renamed] = holder.pop(key)
        return f"{name} called {renamed!r:.40}"
    old, choice = holder[key], rng.random()
    if choice < 0.2:
        other, where = rng.choice(places)
        new = other[where]
        if isinstance(new, (dict, list)):
            new = json.loads(json.dumps(new))
    elif choice < 0.5 and type(old) in (int, float):
        new = rng.choice([old + 1, old - 1, -old, old * 2, old / 2, old * 10**20, str(old)])
    elif choice < 0.5 and isinstance(old, str) and old:
        place = rng.randrange(len(old))
        new = old[:place] + chr(ord(old[place]) ^ 1) + old[place + 1 :]
    else:
        new = rng.choice(VALUES)
    holder[key] = new
    return f"{name} is {new!r:.40}"


def to_text(values: Any) -> str:
    text = json.dumps(values)
    for mark, raw in RAW.items():
        text = text.replace(f'"{mark}"', raw)
    return text


def _places(values: Any) -> Any:
    keys = values.keys() if isinstance(values, dict) else range(len(values))
    # A long list has as many places as three, or nothing but it would ever change.
    for key in list(keys) if len(values) < 20 else list(keys)[:3]:
        yield values, key
        if isinstance(values[key], (dict, list)):
            yield from _places(values[key])


# Safetensors


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with safetensors.safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return arrays, dict(file.metadata() or {})


def change_arrays(path: Path, rng: random.Random) -> str:
    arrays, header = read_arrays(path)
    name = rng.choice(sorted(arrays))
    array, other = arrays[name], arrays[rng.choice(sorted(arrays))]
    if array.dtype == np.float32 and rng.random() < 0.3:
        value = rng.choice([0.0, 1.0, -5.0, 1e30, np.inf, np.nan])
        array.reshape(-1)[rng.randrange(array.size)] = value
        done = f"a number of {name} is {value}"
    else:
        way = rng.choice(["missing", "more", "other", "row", "column", "type", "turned", "empty"])
        if way == "missing":
            del arrays[name]
        elif way == "more":
            arrays[name + rng.choice(["_l1", "x", ".weight"])] = array
        else:
            arrays[name] = {
                "other": other,
                "row": array[:1],
                "column": array[..., :1],
                "type": array.astype(rng.choice([np.float64, np.float16, np.int32, np.bool_])),
                "turned": np.ascontiguousarray(array.T),
                "empty": array[:0],
            }[way]
        done = f"{name}: {way}"
    safetensors.numpy.save_file(arrays, path, metadata=header)
    return done


def change_header(path: Path, rng: random.Random) -> str:
    arrays, header = read_arrays(path)
    name = rng.choice(sorted(header))
    way = rng.random()
    if way < 0.2:
        del header[name]
        done = "left out"
    elif way < 0.4 or name in ("format", "digest", "fingerprint", "whole"):
        header[name] = done = rng.choice(["", "x", "[]", "null", "0", "[" * DEEP, header["digest"]])
    else:
        values = json.loads(header[name])
        done = change_values(values, rng)
        header[name] = to_text(values)
    safetensors.numpy.save_file(arrays, path, metadata=header)
    return f"{name} of the header: {done!r:.60}"


WAYS_OF_ENTRIES: tuple[Damage, ...] = (remove, replace)
WAYS_OF_FILES: tuple[Damage, ...] = (
    truncate, flip, flip, flip, overwrite, insert, take_another, remove, replace,
)  # fmt: skip


# Sealing


def seal(folder: Path) -> None:
    """Make the sums of a folder, and of the model in it, right for what they hold now."""
    if any(path.exists() and not (path.is_file() or path.is_dir()) for path in folder.rglob("*")):
        return  # a device or a pipe, which would be read for ever
    for place in (folder, folder / "best"):
        with suppress(Exception):
            _seal_weights(place)
    with suppress(Exception):
        _seal_snapshot(folder / "resume.safetensors")
    with suppress(Exception):
        _seal_tokens(folder / "tokens")


def _seal_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    description, vocabulary = (
        json.loads((folder / name).read_text()) for name in ("model.json", "tokenizer.json")
    )
    arrays, header = read_arrays(path)
    header["fingerprint"] = fingerprint(description.get("config"), vocabulary)
    header["whole"] = checksum(description, vocabulary)
    header["digest"] = digest(arrays, header["progress"])
    safetensors.numpy.save_file(arrays, path, metadata=header)


def _seal_snapshot(path: Path) -> None:
    arrays, header = read_arrays(path)
    header["digest"] = digest(arrays, header["learner"], header["progress"])
    safetensors.numpy.save_file(arrays, path, metadata=header)


def _seal_tokens(folder: Path) -> None:
    index = json.loads((folder / "splits.json").read_text())
    width = np.dtype(index["dtype"]).itemsize
    for name, split in index["splits"].items():
        data = (folder / f"{name}.bin").read_bytes()
        index["sha256"][name] = hashlib.sha256(data).hexdigest()
        split["tokens"] = len(data) // width
    index.pop("whole", None)
    index["whole"] = checksum(index)
    (folder / "splits.json").write_text(json.dumps(index))
