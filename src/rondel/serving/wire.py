"""The fields of request bodies, and their limits."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)

from rondel.generation.sampling.rules import rules
from rondel.serving.service_settings import (
    MOST_LISTED,
    MOST_LOGPROBS,
    MOST_READ,
    MOST_STEPS,
    MOST_TEXTS,
    MOST_TRACED_UNITS,
)

LARGEST_INT = 2**63 - 1
Name = Annotated[str, Field(max_length=1000)]
Stop = Annotated[str, Field(min_length=1, max_length=1000)]
Sentence = Annotated[str, Field(min_length=1)]
Ids = list[int]
Seed = Annotated[int, Field(ge=-(2**63))]
"""Any seed of rondel's, which are not negative, or of OpenAI's, which have 64 bits and a sign."""


def _prompts(given: Any) -> list[str | Ids]:
    """Return a prompt or a list of prompts as a list; `ValueError` if it is invalid.

    In one pass: Pydantic would try each type of a union for every element of a list.
    """
    prompts = given if isinstance(given, list) and not _are_ids(given) else [given]
    if len(prompts) > MOST_TEXTS:
        raise ValueError(f"{len(prompts)} prompts are given; at most {MOST_TEXTS} at a time")
    if not prompts or [] in prompts:
        raise ValueError("there is an empty list; give text or token ids to go on from")
    length = 0
    for prompt in prompts:
        if isinstance(prompt, str):
            _check_text(prompt)
        elif not (isinstance(prompt, list) and _are_ids(prompt)):
            raise ValueError("should be text, or token ids from 0 on, or a list of either")
        length += len(prompt)
    if length > MOST_READ:
        raise ValueError(f"{length} characters or tokens are given; at most {MOST_READ} at a time")
    return prompts


def _are_ids(given: list[Any]) -> bool:
    return bool(given) and all(type(one) is int and 0 <= one <= LARGEST_INT for one in given)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("there is half a surrogate pair in the text") from None


_TEXT, _IDS = {"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}
_SEVERAL = {"type": "array", "minItems": 1, "maxItems": MOST_TEXTS}
Prompts = Annotated[
    list[str | Ids],
    PlainValidator(_prompts),
    WithJsonSchema(
        {"anyOf": [_TEXT, {**_SEVERAL, "items": _TEXT}, {**_IDS, "minItems": 1},
                   {**_SEVERAL, "items": {**_IDS, "minItems": 1}}]}
    ),
]  # fmt: skip


def _nullable(schema: dict[str, Any]) -> None:
    """Mark in a schema that optional fields may be null."""
    beside = ("default", "description", "title", "x-sampling-rule")
    for name, field in schema["properties"].items():
        if name not in schema.get("required", ()):
            about = {key: field.pop(key) for key in beside if key in field}
            kinds = field.pop("anyOf") if "anyOf" in field else [dict(field)]
            field.clear()
            null = [] if {"type": "null"} in kinds else [{"type": "null"}]
            field.update(anyOf=kinds + null, **about)


class Fields(BaseModel):
    """A JSON object. A field that is null counts as left out; an unknown field is refused."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_nullable
    )

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        given = {name: value[name] for name in known & value.keys() if value[name] is not None}
        # Of unknown fields, of which there may be 100,000, one is kept: enough for the error.
        unknown = next((name for name in value if name not in known), None)
        return given if unknown is None else {**given, unknown: None}


class Body(Fields):
    """The field of every request."""

    model: Name | None = Field(
        None, description="A model's name, as `/v1/models` lists it; the first, if left out."
    )


class StreamOptions(Fields):
    """`stream_options` of OpenAI's completions."""

    include_usage: bool = Field(False, description="End a stream with the counts of tokens.")


def _rule_fields() -> dict[str, Any]:
    """Return a field for each parameter of the registered sampling rules."""
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


class WritingRequest(WithRules):  # type: ignore[misc]  # its fields are the rules'
    """The fields of every request for text."""

    seed: Seed | None = Field(
        None, description="The same seed gives the same text, whatever else is being written."
    )
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = Field(
        None, description="A text ends before any of these."
    )
    mode: Literal["sample", "argmax", "spaces"] = Field(
        "sample",
        description="Draw every token; take the likeliest; or draw only where a word begins.",
    )
    unknown: Literal["refuse", "read"] = Field(
        "refuse",
        description="What to do with characters that the model does not know: refuse the request, "
        "or read them as unknown. Unknown words are always read as such.",
    )

    def rules(self) -> dict[str, float]:
        """Return the parameters of the sampling rules."""
        return {name: value for name in _RULES if (value := getattr(self, name)) is not None}


class CompletionRequest(WritingRequest):
    """The fields of OpenAI's completions, and the parameters of the sampling rules.

    Fields of OpenAI's that have no meaning here are accepted with their neutral value only.
    """

    prompt: Prompts | None = Field(
        None,
        description="Text to continue, or its token ids, or several of either. Left out or empty: "
        "the model begins as its training text does.",
    )
    max_tokens: int = Field(16, ge=0, le=LARGEST_INT, description="Tokens to write.")
    n: int = Field(1, ge=1, le=MOST_TEXTS, description="Texts to write for each prompt.")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MOST_LOGPROBS,
        description="Report each token's log-probability in nats, before any sampling rule, and "
        "those of so many likeliest tokens.",
    )
    echo: bool = Field(False, description="Begin with the prompt.")
    stream: bool = Field(False, description="Send the text as it is made: server-sent events.")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Ignored.")
    best_of: int | None = Field(None, ge=1, description="Must equal `n`.")
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    suffix: Annotated[str, Field(max_length=0)] | None = None


class SamplesRequest(WritingRequest):
    """The fields of `/v1/samples`; see `rondel sample --unique` and `--not-in`."""

    prompt: Sentence | None = Field(
        None, description="Text that each continues; it is not part of them."
    )
    count: int = Field(
        10, ge=1, le=MOST_LISTED, description="Texts to write, blank ones not counted."
    )
    max_tokens: int = Field(200, ge=1, le=LARGEST_INT, description="Tokens to write of each.")
    unique: bool = Field(False, description="Each text once.")
    not_in_training_text: bool = Field(
        False, description="Leave out texts that the training text contains."
    )


class ScoreRequest(Body):
    """The fields of `/v1/score`; see `rondel score` for their meaning."""

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
    """The fields of `/v1/trace`."""

    input: Sentence
    units: list[str] = Field(
        min_length=1,
        max_length=MOST_TRACED_UNITS,
        description='Units as LAYER:UNIT, both from 1, such as "2:137", or "cell:2:137".',
    )


class ReconstructRequest(Body):
    """The fields of `/v1/reconstruct`."""

    input: Sentence = Field(description="One sentence.")
    samples: int = Field(
        0, ge=0, le=MOST_STEPS, description="Sentences at points drawn from its posterior."
    )
    seed: Seed | None = None


class InterpolateRequest(Body):
    """The fields of `/v1/interpolate`; without sentences, the ends are random points."""

    start: Sentence | None = Field(None, alias="from")
    end: Sentence | None = Field(None, alias="to")
    steps: int = Field(8, ge=2, le=MOST_STEPS)
    spherical: bool = Field(False, description="Along an arc instead of a line.")
    seed: Seed | None = None


def seed_of(given: int | None) -> int | None:
    """Map a seed of OpenAI's, which may be negative, to a seed of rondel's."""
    return None if given is None else given % 2**64 if given < 0 else given
