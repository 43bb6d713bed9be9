"""What the units of a sentence VAE do: its decoder's and its encoder's.

Every line of the text is a sentence. The encoder reads its tokens and the line break that ends it;
the decoder reads the same after the break that it starts from, from the state that the mean of
q(z|x) makes. That first break is not traced, so that both have a value for every token of the text.

Shapes: N tokens, T tokens of one sentence, L layers, H units of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rondel.engine.base import Floats, Ids
from rondel.engine.sentence_vae import (
    SentenceVAEEngine,
    decoder_config,
    encoder_config,
    encoder_prefixes,
)
from rondel.inspection.stack_tracks import StackTracer, Weights
from rondel.settings import ModelConfig

ENCODER, ENCODER_BACKWARD = "encoder.", "encoder.backward."


def read_sentences(
    config: ModelConfig,
    weights: Weights,
    ids: Ids,
    end: int,
    tracks: Mapping[str, Floats],
) -> Iterator[Floats]:
    """Fill the tracks (N, L, H); yields the decoder's outputs (T, H), sentence by sentence."""
    latents = SentenceVAEEngine(config, weights, tokens=len(ids))
    decoder = StackTracer(decoder_config(config), weights, "core.", len(ids))
    forth, *back = (
        StackTracer(encoder_config(config), weights, prefix, len(ids))
        for prefix in encoder_prefixes(config)
    )
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
        if against:
            scratch = _scratch(against, len(whole))
            list(back[0].blocks(whole[::-1], scratch))
            turned = {name: array[::-1] for name, array in scratch.items()}
            _keep(against, part, turned, slice(0, len(sentence)))
        yield outputs[1:]


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
