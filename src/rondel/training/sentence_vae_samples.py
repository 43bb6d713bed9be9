"""Samples of a sentence VAE, printed during its training."""

from __future__ import annotations

from rondel.artifact import Artifact
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.latent_points import decode
from rondel.generation.sampling.sampler import draw_latents
from rondel.kinds.sentence_vae_kind import LatentSettings
from rondel.training.callbacks.samples import TEMPERATURE

SENTENCES = 3


def written_sentences(model: Artifact, seed: int, number: int) -> str:
    """Write sentences at points drawn from the prior, one a line."""
    engine = SentenceVAEEngine(model.config, model.weights, tokens=0)
    points = draw_latents(seed, SENTENCES, engine.latent_size)
    settings = GenerationSettings(
        length=(LatentSettings.of(model.config).longest_sentence or 0) + 1,
        seed=seed,
        rules={"temperature": TEMPERATURE},
    )
    return "\n".join(decode(engine, model.tokenizer, points, settings))
