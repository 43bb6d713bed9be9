"""What comes in: the bodies of requests, and what each field may be."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from rondel.generation.rules import rules
from rondel.serving.settings import MOST_LOGPROBS, MOST_STEPS, MOST_TEXTS, MOST_TRACED_UNITS

LARGEST_INT = 2**63 - 1
TokenId = Annotated[int, Field(ge=0, le=LARGEST_INT)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Sentence = Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    """What every request has; a field that is none is refused, so that no typing error passes."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    model: str | None = Field(
        None, description="A model's name, as `/v1/models` lists it; the first, if left out."
    )


class StreamOptions(BaseModel):
    """`stream_options` of OpenAI's completions."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool = Field(False, description="End a stream with the counts of tokens.")


def _rule_fields() -> dict[str, Any]:
    """A field for each parameter of the registered sampling rules."""
    fields: dict[str, Any] = {}
    for rule in rules.values():
        for parameter in dataclasses.fields(rule):  # type: ignore[arg-type]
            limits = parameter.metadata
            whole = isinstance(parameter.default, int)
            fields[parameter.name] = (
                (int if whole else float) | None,
                Field(
                    parameter.default,
                    ge=limits["at_least"],
                    gt=limits["above"],
                    le=limits["at_most"] if limits["at_most"] is not None or not whole
                    else LARGEST_INT,
                    description=limits["help"],
                    json_schema_extra={"x-sampling-rule": True},
                ),
            )  # fmt: skip
    return fields


_RULES = _rule_fields()
WithRules: Any = create_model("WithRules", __base__=Body, **_RULES)


class CompletionRequest(WithRules):  # type: ignore[misc]  # its fields are the rules'
    """OpenAI's completions, and the sampling rules.

    What a recurrent model has no use for may be given with the value that does nothing.
    """

    prompt: (
        str
        | Annotated[list[str], Field(max_length=MOST_TEXTS)]
        | list[TokenId]
        | Annotated[list[list[TokenId]], Field(max_length=MOST_TEXTS)]
        | None
    ) = Field(
        None,
        description="Text to go on from, or its token ids, or several of either. Left out: the "
        "beginning of some line of the model's own text.",
    )
    max_tokens: int | None = Field(16, ge=0, le=LARGEST_INT, description="Tokens to write.")
    n: int = Field(1, ge=1, le=MOST_TEXTS, description="Texts to write for each prompt.")
    seed: int | None = Field(
        None,
        ge=-(2**63),
        le=LARGEST_INT,
        description="The same seed gives the same text, alone or in a crowd.",
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = Field(
        None, description="A text ends before any of these."
    )
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MOST_LOGPROBS,
        description="Tell each token's log-probability in nats, the model's own before any "
        "sampling rule, and of so many likeliest ones.",
    )
    echo: bool = Field(False, description="Begin with the prompt.")
    stream: bool = Field(False, description="Send the text as it is made: server-sent events.")
    stream_options: StreamOptions | None = None
    mode: Literal["sample", "argmax", "spaces"] = Field(
        "sample",
        description="Draw every token; take the likeliest; or draw only where a word begins.",
    )
    unknown: Literal["refuse", "read"] = Field(
        "refuse",
        description="What to do with characters that the model does not know: refuse the request, "
        "or read them as unknown. Unknown words are always read as such.",
    )
    user: str | None = Field(None, description="Not looked at.")
    best_of: int | None = Field(None, ge=1, description="Only as many as `n`.")
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    suffix: Annotated[str, Field(max_length=0)] | None = None

    def rules(self) -> dict[str, float]:
        """The parameters of the sampling rules."""
        return {name: value for name in _RULES if (value := getattr(self, name)) is not None}


class ScoreRequest(Body):
    """What `/v1/score` takes; see `rondel score` for what the settings mean."""

    input: Sentence | Annotated[list[Sentence], Field(min_length=1, max_length=1000)]
    by: Literal["token", "character", "word", "line", "document"] = "token"
    unit: Literal["bits", "nats"] = "bits"
    reset: bool = Field(False, description="Read each line from the zero state.")
    start: Literal["newline", "skip"] | None = Field(
        None, description="What the first token is predicted from."
    )
    end: bool = Field(False, description="Score the line break that ends the text too.")
    context: str = Field("", description="Text that comes before, and is not scored.")
    causal: bool = Field(False, description="A bidirectional model scores as its causal half.")


class TraceRequest(Body):
    """What `/v1/trace` takes."""

    input: Sentence
    units: list[str] = Field(
        min_length=1,
        max_length=MOST_TRACED_UNITS,
        description='Units as LAYER:UNIT, both from 1, such as "2:137", or "cell:2:137".',
    )


class ReconstructRequest(Body):
    """What `/v1/reconstruct` takes."""

    input: Sentence = Field(description="One sentence.")
    samples: int = Field(
        0, ge=0, le=MOST_STEPS, description="Sentences at points drawn around its mean."
    )
    seed: int | None = Field(None, ge=-(2**63), le=LARGEST_INT)


class InterpolateRequest(Body):
    """What `/v1/interpolate` takes; without sentences, its ends are random points."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )

    start: Sentence | None = Field(None, alias="from")
    end: Sentence | None = Field(None, alias="to")
    steps: int = Field(8, ge=2, le=MOST_STEPS)
    spherical: bool = Field(False, description="Along an arc, and not a line.")
    seed: int | None = Field(None, ge=-(2**63), le=LARGEST_INT)


def seed_of(given: int | None) -> int | None:
    """A seed as rondel takes it: OpenAI's may be below 0."""
    return None if given is None else given % 2**64
