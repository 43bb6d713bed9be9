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
from rondel.engine.sentence_vae_engine import (
    SentenceVAEEngine,
    decoder_config,
    encoder_config,
    encoder_prefixes,
)
from rondel.engine.stack_config import StackConfig
from rondel.inspection.stack_tracks import StackTracer, Weights
from rondel.inspection.text_reader import OneWayReader, known_ids
from rondel.text.one_sentence import end_id
from rondel.text.tokenizers import Tokenizer
from rondel.text.tokenizers.base import Spans

ENCODER, ENCODER_BACKWARD = "encoder.", "encoder.backward."


class SentenceReader(OneWayReader):
    """Reads each line of a text as a sentence, with the stacks of a sentence VAE."""

    can_be_clamped = False

    def stacks(self) -> dict[str, StackConfig]:
        """See `OneWayReader.stacks`."""
        names = (ENCODER, ENCODER_BACKWARD)[: len(encoder_prefixes(self.config))]
        return {**super().stacks(), **dict.fromkeys(names, encoder_config(self.config))}

    def gates_of(self, array: str) -> int:
        """See `OneWayReader.gates_of`."""
        if array.startswith("encoder"):
            return len(encoder_config(self.config).cell.gates)
        return super().gates_of(array)

    def read(self, tokenizer: Tokenizer, text: str) -> tuple[Ids, Spans]:
        """See `OneWayReader.read`: every line for itself, as the model was trained.

        Several line breaks together are one token of words otherwise.
        """
        known_ids(tokenizer, text)
        ids, spans, begin = [], [], 0
        for line in text.splitlines(keepends=True):
            ids.append(tokenizer.encode(line))
            spans.append(tokenizer.spans(line) + begin)
            begin += len(line)
        return np.concatenate(ids), np.concatenate(spans)

    def outputs(
        self, weights: Weights, tokenizer: Tokenizer, ids: Ids, tracks: Mapping[str, Floats]
    ) -> Iterator[Floats]:
        """See `OneWayReader.outputs`: the decoder's, sentence by sentence."""
        end, config = end_id(tokenizer), self.config
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
