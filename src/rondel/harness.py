"""A model for EleutherAI's lm-evaluation-harness; needs the extra `harness`.

>>> import lm_eval                                                       # doctest: +SKIP
>>> from rondel.harness import RondelLM                                  # doctest: +SKIP
>>> lm_eval.simple_evaluate(RondelLM("runs/book"), tasks=["lambada"])    # doctest: +SKIP

A request's context is read from the zero state, after a line break if the vocabulary has one.
Log-likelihoods are in nats, as the harness expects.
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
from rondel.evaluation.batch_reading import read_passages
from rondel.evaluation.framing import LINE_BREAK, Framing, Passage, has_line_break
from rondel.evaluation.measures import Measured, Prediction
from rondel.generation.generate import whole_texts

LONGEST = 256
"""Most tokens to generate if the task does not say."""
NAMED, TAIL = 5, 30
"""How many items a warning names, and how many characters it shows of each."""


@register_model("rondel")
class RondelLM(LM):  # type: ignore[misc]
    """A model folder as an lm-evaluation-harness model.

    ::

        lm_eval.simple_evaluate(RondelLM("runs/book/best"), tasks=["lambada_openai"])
    """

    def __init__(self, model: str | Path | LanguageModel, batch_size: int = 64, **_: Any) -> None:
        """Wrap a model, or the one in a folder; other arguments of the harness are ignored."""
        super().__init__()
        self.model = load(model) if isinstance(model, str | Path) else model
        self.size = int(batch_size)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """ln p of each continuation given its context, and whether greedy decoding would give it.

        A token that spans context and continuation is scored with the continuation, given the text
        before that token; a warning names such items.
        """
        pairs = [request.args for request in requests]
        passages = [self._passage(context, continuation) for context, continuation in pairs]
        _warn_of_shared_tokens(pairs, passages)
        return [
            (-float(np.nansum(measured[0])), bool((measured[2][~np.isnan(measured[2])] == 1).all()))
            for measured in self._measure(passages)
        ]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """ln p of each text; its first token is left out if the vocabulary has no line break."""
        passages = [self._passage("", *request.args) for request in requests]
        return [-float(np.nansum(measured[0])) for measured in self._measure(passages)]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Generate greedily after each context, up to one of `until`.

        With `do_sample` and a temperature above 0, sample instead.
        """
        texts = [""] * len(requests)
        # Requests with equal settings are generated in one batch.
        batches: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            batches.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)
        for settings, numbers in batches.items():
            contexts = [requests[number].args[0] for number in numbers]
            for number, text in zip(
                numbers, self._generate(contexts, json.loads(settings)), strict=True
            ):
                texts[number] = text
        return texts

    def _passage(self, context: str, text: str) -> Passage:
        context = self._with_line_break(context) if context else ""
        framing = Framing(context=context, takes_shared=True)
        return framing.passage(self.model.tokenizer, text)

    def _with_line_break(self, context: str) -> str:
        known = has_line_break(self.model.tokenizer)
        return LINE_BREAK + context if known and not context.startswith(LINE_BREAK) else context

    def _measure(self, passages: Sequence[Passage]) -> list[Measured]:
        tokenizer = self.model.tokenizer
        measure = Prediction(np.zeros(tokenizer.vocab_size, np.bool_))
        return read_passages(self.model.engine, tokenizer, passages, measure, batch_size=self.size)

    def _generate(self, contexts: Sequence[str], settings: dict[str, Any]) -> list[str]:
        until = settings.get("until") or ()
        stops = [until] if isinstance(until, str) else [stop for stop in until if stop]
        temperature = float(settings.get("temperature", 0.0))
        sampled = bool(settings.get("do_sample")) and temperature > 0
        rules: dict[str, Any] = {"temperature": temperature} if sampled else {}
        outputs = self.model.stream_many(
            [self._with_line_break(context) or LINE_BREAK for context in contexts],
            length=int(settings.get("max_gen_toks", LONGEST)),
            mode="sample" if sampled else "argmax",
            stop=stops,
            seed=0,
            **rules,
        )
        return whole_texts(outputs, len(contexts))


def _warn_of_shared_tokens(pairs: Sequence[tuple[str, str]], passages: Sequence[Passage]) -> None:
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
