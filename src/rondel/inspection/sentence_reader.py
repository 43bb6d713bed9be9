"""Trace the units of a sentence VAE's decoder and encoder.

Every line of the text is a sentence. The encoder reads its tokens and its final line break; the
decoder starts from the state made from the mean of q(z|x), and reads a line break, then the same
tokens. That first line break is not traced, so that both have one value per token of the text.

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
from rondel.inspection.text_reader import OneWayReader, encode_known
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
        """See `OneWayReader.read`: each line is encoded alone, as in training.

        Otherwise several line breaks would be one token at word level.
        """
        encode_known(tokenizer, text)
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
        engine = SentenceVAEEngine(config, weights, tokens=len(ids))
        decoder = StackTracer(decoder_config(config), weights, "core.", len(ids))
        encoder, *reverse_encoder = (
            StackTracer(encoder_config(config), weights, prefix, len(ids))
            for prefix in encoder_prefixes(config)
        )
        decoder_tracks, forward_tracks, backward_tracks = _split_tracks(tracks)
        begin = 0
        for stop in [*(np.flatnonzero(ids[:-1] == end) + 1).tolist(), len(ids)]:
            sentence, part = ids[begin:stop], slice(begin, stop)
            begin = stop
            # The text's last line may lack the line break that ends a sentence.
            ended = sentence if sentence[-1] == end else np.append(sentence, end)
            mean_1Z, _ = engine.encode([ended])
            inputs = np.append([end], sentence)
            scratch = _scratch(decoder_tracks, len(inputs))
            outputs = np.concatenate(
                list(decoder.blocks(inputs, scratch, engine.initial_state(mean_1Z)))
            )
            _copy(scratch, slice(1, None), decoder_tracks, part)
            if forward_tracks:
                scratch = _scratch(forward_tracks, len(ended))
                list(encoder.blocks(ended, scratch))
                _copy(scratch, slice(0, len(sentence)), forward_tracks, part)
            if backward_tracks:
                scratch = _scratch(backward_tracks, len(ended))
                list(reverse_encoder[0].blocks(ended[::-1], scratch))
                scratch = {name: array[::-1] for name, array in scratch.items()}
                _copy(scratch, slice(0, len(sentence)), backward_tracks, part)
            yield outputs[1:]


def _split_tracks(tracks: Mapping[str, Floats]) -> tuple[dict[str, Floats], ...]:
    """Split tracks into the decoder's, the encoder's and its second stack's, without prefixes."""
    decoder, forward, backward = {}, {}, {}
    for name, array in tracks.items():
        if name.startswith(ENCODER_BACKWARD):
            backward[name.removeprefix(ENCODER_BACKWARD)] = array
        elif name.startswith(ENCODER):
            forward[name.removeprefix(ENCODER)] = array
        else:
            decoder[name] = array
    return decoder, forward, backward


def _scratch(tracks: Mapping[str, Floats], count: int) -> dict[str, Floats]:
    return {name: np.empty((count, *a.shape[1:]), np.float32) for name, a in tracks.items()}


def _copy(
    scratch: Mapping[str, Floats], source: slice, tracks: Mapping[str, Floats], target: slice
) -> None:
    for name, array in tracks.items():
        array[target] = scratch[name][source]
