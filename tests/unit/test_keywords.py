"""The typed keyword arguments are exactly those that are accepted."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rondel
from rondel.evaluation.rescoring import RescoreKeywords, rescore
from rondel.generation.generation_settings import DecodingKeywords, RuleKeywords, WritingKeywords
from rondel.generation.landscape import LandscapeKeywords, landscape
from rondel.generation.sampling.rules import rules
from rondel.generation.search.filling import FillKeywords, FillSettings
from rondel.inspection.trace import TraceKeywords, trace
from rondel.settings import all_settings
from rondel.settings.keywords import ResumeKeywords, RunKeywords
from rondel.training.run import CHANGEABLE

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".mypy_cache"
# Another package's rules are keywords too, which no type checker can know of.
RULE_NAMES = [
    field.name
    for rule in rules.values()
    if rule.__module__.startswith("rondel.")
    for field in dataclasses.fields(rule)
]


def test_every_setting_of_a_run_is_a_keyword() -> None:
    own = {
        name: setting.type
        for name, setting in all_settings().items()
        if setting.field.metadata["flag"]
    }
    hints = typing.get_type_hints(RunKeywords)
    assert {name: typing.get_args(hint)[0] for name, hint in hints.items()} == own


def test_every_setting_a_resumed_run_may_change_is_a_keyword() -> None:
    assert set(ResumeKeywords.__annotations__) == set(CHANGEABLE)


def keywords_of(function: Callable[..., Any]) -> set[str]:
    """Names of what a function takes by keyword alone."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("keywords", "taken"),
    [
        (RuleKeywords, set(RULE_NAMES)),
        (WritingKeywords, keywords_of(rondel.LanguageModel.stream) - {"state"} | set(RULE_NAMES)),
        (DecodingKeywords, {*WritingKeywords.__annotations__} - {"index"}),
        (FillKeywords, {f.name for f in dataclasses.fields(FillSettings)}),
        (RescoreKeywords, keywords_of(rescore)),
        (TraceKeywords, keywords_of(trace)),
        (LandscapeKeywords, keywords_of(landscape)),
    ],
)
def test_keywords_are_those_that_the_function_takes(keywords: type, taken: set[str]) -> None:
    assert set(typing.get_type_hints(keywords)) == taken


def test_no_public_call_takes_keywords_of_any_name() -> None:
    things = [getattr(rondel, name) for name in rondel.__all__]
    calls = [thing for thing in things if inspect.isfunction(thing)]
    for cls in filter(inspect.isclass, things):
        calls += [part for name, part in inspect.getmembers(cls) if name[0] != "_"]
    free = [
        call.__qualname__
        for call in filter(inspect.isfunction, calls)
        for parameter in inspect.signature(call).parameters.values()
        if parameter.kind is inspect.Parameter.VAR_KEYWORD
        and not str(parameter.annotation).startswith("Unpack[")
    ]
    assert free == []


GOOD, BAD = "", 'Unexpected keyword argument "{}"'
CALLS = [
    ('rondel.train("book.txt", hidden_size=3, minutes=2)', GOOD),
    ('rondel.train("book.txt", hiden_size=3)', BAD.format("hiden_size")),
    ('rondel.train("book.txt", hidden_size="3")', "incompatible type"),
    ('rondel.resume("run", minuts=3)', BAD.format("minuts")),
    ('model.sample("The ", temperature=1, length=5)', GOOD),
    ("model.sample(temprature=1)", BAD.format("temprature")),
    ('model.stream("The ", top_P=1)', BAD.format("top_P")),
    ('model.sample_many(["The "], lenght=1)', BAD.format("lenght")),
    ('model.stream_many(["The "], sed=1)', BAD.format("sed")),
    ("model.samples(3, uniqe=True)", BAD.format("uniqe")),
    ("model.beam_search(beam_widht=3)", BAD.format("beam_widht")),
    ('model.score("The rain.", buy="word")', BAD.format("buy")),
    ('model.rescore([("a", -1.0, "The")], wieght=1)', BAD.format("wieght")),
    ('model.trace("The rain.", track=["hidden"])', BAD.format("track")),
    ('model.evaluate("The rain.", cash=None)', BAD.format("cash")),
    ('both.fill("a ___ b", bets=3)', BAD.format("bets")),
    ('both.gibbs("The rain.", temprature=1)', BAD.format("temprature")),
    ("vae.sample_sentences(3, sed=1, temperature=0.5)", BAD.format("sed")),
    ("vae.sample(modes='argmax')", BAD.format("modes")),
    ("vae.samples(3, topk=1)", BAD.format("topk")),
    ('vae.reconstruct("A man.", sed=1)', BAD.format("sed")),
    ('vae.interpolate("A man.", "A dog.", step=3)', BAD.format("step")),
    ('vae.analogy("a", "b", "c", top_p="1")', "incompatible type"),
    ('vae.landscape(["A man."], landmark=3)', BAD.format("landmark")),
    ('vae.fill("A ___.", sweep=3)', BAD.format("sweep")),
    ('vae.evaluate_sentences(["A man."], iw_sample=3)', BAD.format("iw_sample")),
]
USER = """import rondel

model = rondel.load("run")
both = rondel.load("both", kind=rondel.BidirectionalModel)
vae = rondel.load("vae", kind=rondel.SentenceVAE)
"""


def test_a_type_checker_knows_the_keywords(tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text(USER + "".join(f"{call}\n" for call, _ in CALLS), encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", CACHE, user],
        capture_output=True,
        text=True,
        cwd=ROOT,
    ).stdout
    first = len(USER.splitlines()) + 1
    found = {call: "" for call, _ in CALLS}
    for line, complaint in re.findall(r"user\.py:(\d+): error: (.*)", answer):
        found[CALLS[int(line) - first][0]] += complaint
    wrong = [
        (call, found[call])
        for call, complaint in CALLS
        if complaint not in found[call] or bool(complaint) != bool(found[call])
    ]
    assert not wrong, answer
