"""How a service is set up: what it serves, where, and its limits."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

MOST_TEXTS = 64
"""Texts of one request, over all its prompts."""
MOST_TOLD = 20_000
"""Tokens of one request that log-probabilities are told of."""
MOST_READ, MOST_ECHOED = 200_000, 1_000_000
"""Characters or tokens of one request's prompts, and characters of its echoes over all texts."""
MOST_LOGPROBS = 20
MOST_SCORED, MOST_TRACED, MOST_TRACED_UNITS = 200_000, 20_000, 64
"""Characters of one request, and units."""
MOST_LISTED, MOST_KNOWN = 1_000, 5_000_000
"""Texts of one list, and tokens of a training text that its texts are looked for in."""
MOST_STEPS = 64
"""Sentences of one walk through a latent space, and samples of one sentence."""


@dataclass(frozen=True)
class ServiceSettings:
    """All that a worker needs to know. The API key is not among it: it has its own ways."""

    models: tuple[tuple[str, str], ...]
    """Names and folders."""
    copies: tuple[tuple[str, str], ...] = ()
    """Names and folders of copies that are read in their place, if there are any."""
    host: str = "127.0.0.1"
    port: int = 8080
    local: bool = True
    """Whether that address is one that only this machine reaches."""
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
    """After which a text ends where it is."""
    drain_seconds: float = 30.0
    """How long requests may go on after a signal to end."""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    """Names that it may be asked for by, beside this machine's own."""
    log_prompts: bool = False

    def hosts(self, *, with_key: bool) -> frozenset[str]:
        """The names that a request's Host header may have; if there are none, any.

        What asks for no key since only this machine reaches it has to check them: a web page whose
        name is made to point here could read all of it otherwise, in any browser on the machine.
        """
        if not self.allowed_hosts and (with_key or not self.local):
            return frozenset()
        names = {name.strip("[]").rstrip(".").lower() for name in self.allowed_hosts}
        return frozenset(names | {"localhost", "127.0.0.1", "::1", self.host.lower()})

    def to_json(self) -> str:
        """For another process; the inverse of `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServiceSettings:
        """What `to_json` wrote."""
        told = json.loads(text)
        for name in ("models", "copies"):
            told[name] = tuple((model, folder) for model, folder in told[name])
        for name in ("cors_origins", "allowed_hosts"):
            told[name] = tuple(told[name])
        return cls(**told)
