"""The served models, each with its thread, and threads for other work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rondel.api.language_model import LanguageModel
from rondel.api.load import load
from rondel.artifact import MODEL, TOKENIZER, WEIGHTS
from rondel.engine.compiled_engine import processors
from rondel.generation.generate import write_many
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prefix_cache import PrefixCache
from rondel.generation.stream import Request
from rondel.inspection.trace import track_shapes
from rondel.serving.error_responses import Refusal
from rondel.serving.handoff import Busy
from rondel.serving.metrics import Metrics, ModelMetrics
from rondel.serving.model_thread import ModelThread
from rondel.serving.service_settings import ServiceSettings

T = TypeVar("T")
Stamps = tuple[tuple[int, int], ...]
MODEL_FILES = (MODEL, TOKENIZER, WEIGHTS)
BACKGROUND, OFF_LOOP = 2, 2
"""Threads that compute whole responses, and threads that encode and decode for the event loop."""
MEGABYTE = 1_000_000
SHORT = 500
"""Pieces (characters, tokens, values) that are handled in the event loop itself: about 5 ms."""


@dataclass(frozen=True)
class Served:
    """A model, its name, and the thread that writes with it."""

    name: str
    model: LanguageModel
    thread: ModelThread
    metrics: ModelMetrics
    prefixes: PrefixCache | None
    created: int
    folder: Path
    stamps: Stamps
    """Sizes and times of the files that were loaded."""

    @property
    def changed(self) -> bool:
        """Whether the folder's model was replaced after it was loaded."""
        return _stamps(self.folder) != self.stamps

    def facts(self, settings: ServiceSettings) -> dict[str, Any]:
        """Return its entry in `/v1/models`."""
        config = self.model.config
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "rondel",
            "kind": config.model,
            "level": self.model.tokenizer.level,
            "cell": config.cell,
            "num_layers": config.num_layers,
            "hidden_size": config.hidden_size,
            "vocab_size": config.vocab_size,
            "precision": settings.precision,
            "tracks": {name: list(shape) for name, shape in track_shapes(config).items()},
            "max_tokens": settings.max_tokens,
            "changed_on_disk": self.changed,
        }


class Service:
    """The served models by name, and the service's threads."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._executors = {
            "background": ThreadPoolExecutor(BACKGROUND, "background"),
            "off-loop": ThreadPoolExecutor(OFF_LOOP, "off-loop"),
        }
        self._waiting = dict.fromkeys(self._executors, 0)
        self.models: Mapping[str, Served] = {
            name: self._serve(name, Path(folder)) for name, folder in settings.models
        }

    def find(self, name: str | None) -> Served:
        """Return the model of that name; the first if `None`. Raises `Refusal` if unknown."""
        chosen = next(iter(self.models)) if name is None else name
        if chosen not in self.models:
            known = ", ".join(self.models)
            raise Refusal(
                f"no model is called {chosen!r}; there are: {known}",
                status=404,
                param="model",
                code="model_not_found",
            )
        return self.models[chosen]

    def in_background(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do long work in a thread. Raises `Busy` if too much work waits."""
        return self._in_thread("background", work)

    async def off_loop(self, pieces: int, work: Callable[[], T]) -> T:
        """Encode or decode so many pieces: in a thread, unless they are few.

        Nothing may block the event loop for long. Raises `Busy` if too much work waits.
        """
        return work() if pieces <= SHORT else await self._in_thread("off-loop", work)

    def _in_thread(self, kind: str, work: Callable[[], T]) -> asyncio.Future[T]:
        if self._waiting[kind] >= BACKGROUND + self.settings.max_queue:
            raise Busy(1)
        self._waiting[kind] += 1
        working = asyncio.get_running_loop().run_in_executor(self._executors[kind], work)
        working.add_done_callback(partial(self._done, kind))
        return working

    def _done(self, kind: str, working: asyncio.Future[Any]) -> None:
        self._waiting[kind] -= 1
        if not working.cancelled():
            working.exception()  # retrieved, so that asyncio does not log it if nobody waits

    def stop(self) -> None:
        """End all threads."""
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)
        for served in self.models.values():
            served.thread.stop()

    def _serve(self, name: str, folder: Path) -> Served:
        settings = self.settings
        threads = settings.threads or max(1, processors() // settings.workers)
        read = Path(dict(settings.copies).get(name, folder))
        stamps = _stamps(read)
        model = load(read, precision=settings.precision, threads=threads)
        metrics = ModelMetrics(self.metrics, name)
        prefixes = None
        if model.reads_prompts:
            _warm_up(model, settings.batch_size)
            prefixes = PrefixCache(MEGABYTE * settings.prefix_cache)
        thread = ModelThread(
            name,
            model.writing_engine,
            model.tokenizer,
            capacity=settings.batch_size,
            max_queue=settings.max_queue,
            seconds=settings.request_seconds,
            metrics=metrics,
            prefixes=prefixes,
        )
        created = int(read.stat().st_mtime)
        return Served(name, model, thread, metrics, prefixes, created, folder, stamps)


def _stamps(folder: Path) -> Stamps:
    """Return sizes and times of a model's files; a copy has those of the original."""
    try:
        found = [(folder / name).stat() for name in MODEL_FILES]
    except OSError:
        return ()
    return tuple((one.st_size, one.st_mtime_ns) for one in found)


def _warm_up(model: LanguageModel, capacity: int) -> None:
    """Write a little, so that kernels are loaded and the autotuner has chosen."""
    text = model.tokenizer.token(model.config.vocab_size - 1)
    settings = GenerationSettings(length=16, seed=0)
    for texts in sorted({1, capacity}):
        requests = [Request(text, settings, index) for index in range(texts)]
        deque(write_many(model.engine, model.tokenizer, requests, capacity), maxlen=0)
