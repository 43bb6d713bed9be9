"""Points of a sentence VAE's latent space: checks, paths, decoding (Bowman, Vilnis et al. 2016).

Shapes: N sentences, Z latent size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.errors import InputError
from rondel.generation.generate import whole_texts, write_on_demand
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.prime import Start
from rondel.generation.sampling.sampler import draw_latents
from rondel.generation.stream import Request
from rondel.text.one_sentence import END, end_id
from rondel.text.tokenizers import Tokenizer
from rondel.values import shown

Numbers = npt.NDArray[np.float64]


class Step(NamedTuple):
    """A point of a path: how far along it is, from 0 to 1, and its sentence.

    `again` is true if the sentence is the same as at the step before.
    """

    share: float
    text: str
    again: bool


def decode(
    engine: SentenceVAEEngine,
    tokenizer: Tokenizer,
    z_NZ: Floats,
    settings: GenerationSettings,
    first: int = 0,
) -> list[str]:
    """Decode each point into a sentence, by draws `first`, `first + 1`, … of the seed.

    A sentence ends with its line break, at one of the stops, or at `settings.length` tokens, and
    does not depend on the other points. Raises `InputError` for points of another size.
    """
    check_latents(z_NZ, engine.latent_size)
    requests = latent_requests(engine, tokenizer, z_NZ, settings, first)
    outputs = write_on_demand(engine.decoder, tokenizer, lambda: next(requests, None))
    return [text.strip() for text in whole_texts(outputs, len(z_NZ))]


def latent_requests(
    engine: SentenceVAEEngine,
    tokenizer: Tokenizer,
    z_NZ: Floats,
    settings: GenerationSettings,
    first: int = 0,
    logprobs: int | None = None,
) -> Iterator[Request]:
    """Yield a request for the sentence at each point; it ends with its line break."""
    stop = tuple(dict.fromkeys((END, *settings.stop)))
    chosen = dataclasses.replace(settings, stop=stop)
    for index, z_Z in enumerate(z_NZ, first):
        yield Request(_start(engine, tokenizer, z_Z), chosen, index, logprobs)


def _start(engine: SentenceVAEEngine, tokenizer: Tokenizer, z_Z: Floats) -> Start:
    """Return the start of the sentence at a point: after a line break, in the state from z."""
    ids = np.array([end_id(tokenizer)])
    # One by one, so that no bit of a point's logits depends on the others in the request.
    logits_1V, state = engine.decoder.step(ids, engine.initial_state(z_Z[None]))
    decoder = tokenizer.decoder()
    decoder.push(int(ids[0]))
    return Start(ids, logits_1V[0], state, decoder)


def latents_of(z: Any, size: int) -> Floats:
    """Convert points to an array (N, Z); `InputError` if they are not points of that size."""
    try:
        z_NZ = np.asarray(z, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"points of this model's latent space are an array (N, {size}), not {shown(z)}"
        ) from None
    check_latents(z_NZ, size)
    return z_NZ


def check_latents(z_NZ: Floats, size: int) -> None:
    """Raise `InputError` unless these are finite points of a latent space of this size."""
    if z_NZ.ndim != 2 or z_NZ.shape[1] != size:
        raise InputError(
            f"points of this model's latent space are an array (N, {size}), not {z_NZ.shape}"
        )
    if not np.isfinite(z_NZ).all():
        raise InputError("a point of the latent space has a number that is not finite")


def posterior_draws(mean_Z: Floats, log_variance_Z: Floats, count: int, seed: int | None) -> Floats:
    """Return `count` points (N, Z) of q(z|x): its mean, then draws from it."""
    noise_NZ = draw_latents(seed, count, len(mean_Z))
    noise_NZ[0] = 0
    points: Floats = mean_Z + np.exp(0.5 * log_variance_Z) * noise_NZ
    return points


def path(a_Z: Floats, b_Z: Floats, steps: int, *, spherical: bool = False) -> Floats:
    """Return evenly spaced points (N, Z) from `a_Z` to `b_Z` inclusive, on a line or an arc.

    On the arc the direction turns at an even rate (Shoemake 1985; White 2016, arXiv 1609.04468),
    and the length changes at one: it avoids the origin, near which points of N(0, I) hardly ever
    are. Between points in the same or opposite directions, the arc is the line.
    """
    if steps < 2:
        raise InputError(f"a path has at least 2 steps, its ends, not {steps}")
    share_N1 = np.linspace(0, 1, steps)[:, None]
    a, b = a_Z.astype(np.float64), b_Z.astype(np.float64)
    line_NZ: Numbers = (1 - share_N1) * a + share_N1 * b
    if spherical:
        line_NZ = _arc(a, b, share_N1, line_NZ)
    points = line_NZ.astype(np.float32)
    points[0], points[-1] = a_Z, b_Z
    return points


def _arc(a: Numbers, b: Numbers, share_N1: Numbers, line_NZ: Numbers) -> Numbers:
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if not length_a or not length_b:
        return line_NZ
    angle = np.arccos(np.clip(a @ b / (length_a * length_b), -1, 1))
    if np.sin(angle) < 1e-6:
        return line_NZ
    turned = np.sin((1 - share_N1) * angle) * a / length_a
    turned = (turned + np.sin(share_N1 * angle) * b / length_b) / np.sin(angle)
    arc: Numbers = ((1 - share_N1) * length_a + share_N1 * length_b) * turned
    return arc


def steps_of(texts: Sequence[str]) -> list[Step]:
    """Return the steps of a path, given the sentence at each."""
    last = max(1, len(texts) - 1)
    return [Step(n / last, text, n > 0 and text == texts[n - 1]) for n, text in enumerate(texts)]
