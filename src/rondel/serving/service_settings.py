"""The settings of a service: what it serves, where, and its limits."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

MOST_TEXTS = 64
"""Texts of one request, over all its prompts."""
MOST_LOGPROB_TOKENS = 20_000
"""Tokens of one request whose log-probabilities are reported."""
MOST_READ, MOST_ECHOED = 200_000, 1_000_000
"""Characters or tokens of one request's prompts, and characters of its echoes over all texts."""
MOST_LOGPROBS = 20
MOST_SCORED, MOST_TRACED, MOST_TRACED_UNITS = 200_000, 20_000, 64
"""Characters of one request, and units."""
MOST_LISTED, MOST_KNOWN = 1_000, 5_000_000
"""Texts of one list, and tokens of the training text in which they are looked for."""
MOST_STEPS = 64
"""Sentences of one interpolation, and samples of one sentence."""


@dataclass(frozen=True)
class ServiceSettings:
    """All settings of a service but the API key, which is passed separately."""

    models: tuple[tuple[str, str], ...]
    """Names and folders."""
    copies: tuple[tuple[str, str], ...] = ()
    """Names and folders of copies to load instead, if there are any."""
    host: str = "127.0.0.1"
    port: int = 8080
    local: bool = True
    """Whether only this machine can reach that address."""
    workers: int = 1
    threads: int | None = None
    precision: str = "fp32"
    batch_size: int = 64
    """Texts of a model that are written at a time."""
    prefix_cache: int = 64
    """Megabytes of states after prefixes of prompts that are kept of each model."""
    max_queue: int = 256
    """Texts of a model that may wait beyond those."""
    max_tokens: int = 20_000
    """Tokens that one request may ask for, over all its texts."""
    max_body: int = 1_000_000
    """Bytes of a request's body."""
    request_seconds: float = 120.0
    """The time after which a text is cut off."""
    drain_seconds: float = 30.0
    """How long open requests may take after a signal to end."""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    """Names that a Host header may have, besides this machine's."""
    log_prompts: bool = False

    def hosts(self, *, with_key: bool) -> frozenset[str]:
        """Return the names that a request's Host header may have; if empty, any.

        A local server without a key has to check them, against DNS rebinding: otherwise a web page
        whose host name resolves to this machine could use it from any browser here.
        """
        if not self.allowed_hosts and (with_key or not self.local):
            return frozenset()
        names = {name.strip("[]").rstrip(".").lower() for name in self.allowed_hosts}
        return frozenset(names | {"localhost", "127.0.0.1", "::1", self.host.lower()})

    def to_json(self) -> str:
        """Encode for another process; the inverse of `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServiceSettings:
        """Decode what `to_json` wrote."""
        values = json.loads(text)
        for name in ("models", "copies"):
            values[name] = tuple((model, folder) for model, folder in values[name])
        for name in ("cors_origins", "allowed_hosts"):
            values[name] = tuple(values[name])
        return cls(**values)
