"""A model for EleutherAI's lm-evaluation-harness, which the extra `harness` brings.

>>> import lm_eval                                                       # doctest: +SKIP
>>> from rondel.harness import RondelLM                                  # doctest: +SKIP
>>> lm_eval.simple_evaluate(RondelLM("runs/book"), tasks=["lambada"])    # doctest: +SKIP

A request's context is read from the zero state, after a line break where the model knows one. Its
log-likelihoods are in nats, as the harness has them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from rondel.api.language_model import LanguageModel
from rondel.api.load import load
from rondel.errors import warn_of
from rondel.evaluation.framing import LINE_BREAK, Framing, Passage, knows_line_break
from rondel.evaluation.measures import Measured, Prediction
from rondel.evaluation.reading import read_passages

LONGEST = 256
"""Tokens generated at most, where the task does not say."""
NAMED, TAIL = 5, 30
"""Items that a warning names, and how many characters of each."""


@register_model("rondel")
class RondelLM(LM):  # type: ignore[misc]
    """The model in a folder, for the harness to ask.

    ::

        lm_eval.simple_evaluate(RondelLM("runs/book/best"), tasks=["lambada_openai"])
    """

    def __init__(self, model: str | Path | LanguageModel, batch_size: int = 64, **_: Any) -> None:
        """Take a model or the folder of one; what else the harness passes on is of no use here."""
        super().__init__()
        self.model = load(model) if isinstance(model, str | Path) else model
        self.size = int(batch_size)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """ln p of each continuation after its context, and whether each of its tokens is likeliest.

        A word that runs from the context into the continuation is scored with the continuation,
        given what stands before the word; such items are warned of.
        """
        pairs = [request.args for request in requests]
        passages = [self._passage(context, continuation) for context, continuation in pairs]
        _warn_of_shared_words(pairs, passages)
        return [
            (-float(np.nansum(measured[0])), bool((measured[2][~np.isnan(measured[2])] == 1).all()))
            for measured in self._measured(passages)
        ]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """ln p of each text from its first token; the first is left out if nothing can start it."""
        passages = [self._passage("", *request.args) for request in requests]
        return [-float(np.nansum(measured[0])) for measured in self._measured(passages)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """What follows each context up to one of `until`, the likeliest token at each step.

        With `do_sample`, and a temperature above 0, it is drawn instead.
        """
        texts = [""] * len(requests)
        # Those that are asked for alike are written together.
        alike: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)
        for settings, numbers in alike.items():
            contexts = [requests[number].args[0] for number in numbers]
            for number, text in zip(
                numbers, self._generated(contexts, json.loads(settings)), strict=True
            ):
                texts[number] = text
        return texts

    def _passage(self, context: str, text: str) -> Passage:
        framing = Framing(context=self._started(context) if context else "", takes_shared=True)
        return framing.passage(self.model.tokenizer, text)

    def _started(self, context: str) -> str:
        known = knows_line_break(self.model.tokenizer)
        return LINE_BREAK + context if known and not context.startswith(LINE_BREAK) else context

    def _measured(self, passages: Sequence[Passage]) -> list[Measured]:
        tokenizer = self.model.tokenizer
        no_gaps = np.zeros(tokenizer.vocab_size, np.bool_)
        return read_passages(
            self.model.engine, tokenizer, passages, Prediction(no_gaps), batch_size=self.size
        )

    def _generated(self, contexts: Sequence[str], settings: dict[str, Any]) -> list[str]:
        until = settings.get("until") or ()
        stops = [until] if isinstance(until, str) else [stop for stop in until if stop]
        temperature = float(settings.get("temperature", 0.0))
        drawn = bool(settings.get("do_sample")) and temperature > 0
        rules: dict[str, Any] = {"temperature": temperature} if drawn else {}
        pieces: list[list[str]] = [[] for _ in contexts]
        for output in self.model.stream_many(
            [self._started(context) or LINE_BREAK for context in contexts],
            length=int(settings.get("max_gen_toks", LONGEST)),
            mode="sample" if drawn else "argmax",
            stop=stops,
            seed=0,
            **rules,
        ):
            pieces[output.number].append(output.text)
        return ["".join(own) for own in pieces]


def _warn_of_shared_words(pairs: Sequence[tuple[str, str]], passages: Sequence[Passage]) -> None:
    shared = [
        pair
        for pair, passage in zip(pairs, passages, strict=True)
        if len(passage.spans) and passage.spans[0, 0] < 0
    ]
    if shared:
        named = ", ".join(
            f"{context[-TAIL:]!r} + {text[:TAIL]!r}" for context, text in shared[:NAMED]
        )
        more = " …" if len(shared) > NAMED else ""
        warn_of(
            f"{len(shared):,} of {len(pairs):,} continuations begin inside a word of their context "
            f"({named}{more}); that word is scored with them"
        )
