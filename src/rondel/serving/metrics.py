"""Metrics of the service, for Prometheus.

With several workers, `PROMETHEUS_MULTIPROC_DIR` names a folder in which they share their figures.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from rondel.generation.prefix_cache import PrefixCache

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STREAMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter(
            "rondel_requests", "Requests answered.", ("method", "path", "status"), registry=own
        )
        self.seconds = Histogram(
            "rondel_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("path",),
            buckets=SECONDS,
            registry=own,
        )
        self.first_token = Histogram(
            "rondel_first_token_seconds",
            "Seconds from a request to the first piece of its text.",
            ("model",),
            buckets=SECONDS,
            registry=own,
        )
        self.written = Counter("rondel_tokens_written", "Tokens written.", ("model",), registry=own)
        self.read = Counter(
            "rondel_tokens_read",
            "Tokens of prompts read, or known from the prefix cache.",
            ("model",),
            registry=own,
        )
        self.prefix_hits = Counter(
            "rondel_prefix_cache_hits",
            "Prompts that the prefix cache had all or the beginning of.",
            ("model",),
            registry=own,
        )
        self.prefix_tokens = Counter(
            "rondel_prefix_cache_tokens",
            "Tokens of prompts that were not read, since the prefix cache had them.",
            ("model",),
            registry=own,
        )
        self.prefix_bytes = Gauge(
            "rondel_prefix_cache_bytes",
            "Memory of the prefix cache.",
            ("model",),
            multiprocess_mode="livesum",
            registry=own,
        )
        self.batch = Histogram(
            "rondel_batch_size",
            "Texts that were written together in a step.",
            ("model",),
            buckets=STREAMS,
            registry=own,
        )
        self.under_way = Gauge(
            "rondel_texts_under_way",
            "Texts requested and not finished, including those that wait.",
            ("model",),
            multiprocess_mode="livesum",
            registry=own,
        )
        self.queue = Gauge(
            "rondel_queue",
            "Texts that wait to be written, and primes that wait to be read.",
            ("model",),
            multiprocess_mode="livesum",
            registry=own,
        )
        self.refused = Counter(
            "rondel_refused", "Requests refused since the queue was full.", ("model",), registry=own
        )

    def page(self) -> bytes:
        """Return all metrics, of all workers, in Prometheus' text format."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class ModelMetrics:
    """The metrics of one model."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._written = metrics.written.labels(name)
        self._read = metrics.read.labels(name)
        self._batch = metrics.batch.labels(name)
        self._under_way = metrics.under_way.labels(name)
        self._queue = metrics.queue.labels(name)
        self._prefix_hits = metrics.prefix_hits.labels(name)
        self._prefix_tokens = metrics.prefix_tokens.labels(name)
        self._prefix_bytes = metrics.prefix_bytes.labels(name)
        self._counted = 0, 0
        self.first_token = metrics.first_token.labels(name)
        self.refused = metrics.refused.labels(name)

    def wrote(self, tokens: int, streams: int) -> None:
        """Record a step that wrote so many tokens, of so many texts."""
        self._written.inc(tokens)
        self._batch.observe(streams)

    def read(self, tokens: int) -> None:
        """Record that so many tokens of primes were read."""
        self._read.inc(tokens)

    def cached(self, prefixes: PrefixCache) -> None:
        """What the prefix cache has done by now, and how large it is."""
        hits, tokens = prefixes.hits, prefixes.tokens_saved
        self._prefix_hits.inc(hits - self._counted[0])
        self._prefix_tokens.inc(tokens - self._counted[1])
        self._counted = hits, tokens
        self._prefix_bytes.set(prefixes.bytes)

    def load(self, under_way: int, queue: int) -> None:
        """Record the number of unfinished texts, and how many of them wait."""
        self._under_way.set(under_way)
        self._queue.set(queue)
