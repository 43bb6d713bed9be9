"""The server that a good user of plain PyTorch would write: one request after the other.

    python _plain_server.py FOLDER LAYERS HIDDEN PORT THREADS

The tuned loop of `_sampling_peers` writes a whole text, which is then sent at once: nothing is
spent on streaming it.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import _rondel
import torch
import uvicorn
from _sampling_peers import TunedLoop, drawn
from fastapi import FastAPI
from pydantic import BaseModel


class Asked(BaseModel):
    """The part of OpenAI's completions that is asked for here."""

    prompt: str
    max_tokens: int


class Writer(TunedLoop):
    """The loop, given a prompt to read and a text to write."""

    def write(self, ids: list[int], count: int) -> list[int]:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            self._start()
            for token in ids[:-1]:
                self._step(token)
            written = [ids[-1]]
            for _ in range(count):
                written.append(int(drawn(self._step(written[-1]))))
        return written[1:]


def main() -> None:
    folder, layers, hidden, port, threads = sys.argv[1:]
    shape = _rondel.Shape("lstm", int(layers), int(hidden))
    tokenizer = _rondel.load(Path(folder)).tokenizer
    writer = Writer(shape, _rondel.weights_of(Path(folder)), int(threads))
    app, turn = FastAPI(), threading.Lock()

    @app.post("/v1/completions")
    def complete(asked: Asked) -> dict[str, object]:
        ids = tokenizer.encode(asked.prompt).tolist()
        with turn:
            text = tokenizer.decode(writer.write(ids, asked.max_tokens))
        return {"choices": [{"text": text}]}

    uvicorn.run(app, port=int(port), log_level="error")


if __name__ == "__main__":
    main()
