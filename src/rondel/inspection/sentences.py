"""What the units of a sentence VAE do: its decoder's and its encoder's.

Every line of the text is a sentence. The encoder reads its tokens and the line break that ends it;
the decoder reads the same after the break that it starts from, from the state that the mean of
q(z|x) makes. That first break is not traced, so that both have a value for every token of the text.

Shapes: N tokens, T tokens of one sentence, L layers, H units of a layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from rondel.engine.base import Floats, Ids
from rondel.engine.sentence_vae import SentenceVAEEngine
from rondel.inspection.stack import Stack, Weights
from rondel.kinds.sentence_vae import LatentSettings
from rondel.settings import ModelConfig

ENCODER, ENCODER_BACKWARD = "encoder.", "encoder.backward."


def decoder_shape(config: ModelConfig) -> ModelConfig:
    """The decoder as the language model that it is but for its first state."""
    return dataclasses.replace(config, model="language-model")


def encoder_shape(config: ModelConfig) -> ModelConfig:
    """The encoder's cell and size, as a language model has them."""
    latent = LatentSettings.of(config)
    return dataclasses.replace(
        decoder_shape(config),
        cell=latent.encoder_cell or config.cell,
        num_layers=latent.encoder_layers or config.num_layers,
        hidden_size=latent.encoder_hidden_size or config.hidden_size,
        tie_weights=False,
    )


def read_sentences(
    config: ModelConfig,
    weights: Weights,
    ids: Ids,
    end: int,
    tracks: Mapping[str, Floats],
) -> Iterator[Floats]:
    """Fill the tracks (N, L, H); yields the decoder's outputs (T, H), sentence by sentence."""
    latents = SentenceVAEEngine(config, weights, tokens=len(ids))
    decoder = _decoder(config, weights, len(ids))
    forth = _encoder(config, weights, "encoder.", len(ids))
    back = _encoder(config, weights, "encoder_backward.", len(ids)) if _is_both(config) else None
    own, onward, against = _sorted(tracks)
    begin = 0
    for stop in [*(np.flatnonzero(ids[:-1] == end) + 1).tolist(), len(ids)]:
        sentence, part = ids[begin:stop], slice(begin, stop)
        begin = stop
        # A last line may lack the break that every sentence ends with.
        whole = sentence if sentence[-1] == end else np.append(sentence, end)
        mean_1Z, _ = latents.encode([whole])
        started = np.append([end], sentence)
        scratch = _scratch(own, len(started))
        outputs = np.concatenate(
            list(decoder.blocks(started, scratch, latents.initial_state(mean_1Z)))
        )
        _keep(own, part, scratch, slice(1, None))
        if onward:
            scratch = _scratch(onward, len(whole))
            list(forth.blocks(whole, scratch))
            _keep(onward, part, scratch, slice(0, len(sentence)))
        if against and back is not None:
            scratch = _scratch(against, len(whole))
            list(back.blocks(whole[::-1], scratch))
            turned = {name: array[::-1] for name, array in scratch.items()}
            _keep(against, part, turned, slice(0, len(sentence)))
        yield outputs[1:]


def _is_both(config: ModelConfig) -> bool:
    return LatentSettings.of(config).encoder_bidirectional


def _sorted(tracks: Mapping[str, Floats]) -> tuple[dict[str, Floats], ...]:
    """Tracks of the decoder, the encoder and the encoder's other stack, by the cell's names."""
    own, onward, against = {}, {}, {}
    for name, array in tracks.items():
        if name.startswith(ENCODER_BACKWARD):
            against[name.removeprefix(ENCODER_BACKWARD)] = array
        elif name.startswith(ENCODER):
            onward[name.removeprefix(ENCODER)] = array
        else:
            own[name] = array
    return own, onward, against


def _scratch(tracks: Mapping[str, Floats], count: int) -> dict[str, Floats]:
    return {name: np.empty((count, *a.shape[1:]), np.float32) for name, a in tracks.items()}


def _keep(
    tracks: Mapping[str, Floats], part: slice, scratch: Mapping[str, Floats], own: slice
) -> None:
    for name, array in tracks.items():
        array[part] = scratch[name][own]


def _encoder(config: ModelConfig, weights: Weights, stack: str, tokens: int) -> Stack:
    shape = encoder_shape(config)
    # A stack comes with a head, which nobody asks of this one.
    head = {
        "head.weight": np.zeros((config.vocab_size, shape.hidden_size), np.float32),
        "head.bias": np.zeros(config.vocab_size, np.float32),
    }
    return Stack(shape, {**weights, **head}, stack, tokens)


def _decoder(config: ModelConfig, weights: Weights, tokens: int) -> Stack:
    latent = LatentSettings.of(config)
    if not latent.latent_input:
        return Stack(decoder_shape(config), weights, "core.", tokens)
    engines = [
        SentenceVAEEngine(dataclasses.replace(config, num_layers=count), weights).decoder
        for count in range(1, config.num_layers + 1)
    ]
    own = {"core.weight_ih_l0": weights["core.weight_ih_l0"][:, : -latent.latent_size]}
    return Stack(decoder_shape(config), {**weights, **own}, "core.", tokens, engines)
