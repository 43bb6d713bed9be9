"""Sentences about coffee, generated from a grammar: a built-in corpus of any size.

The grammar is `coffee.grammar`, next to this file. Each rule is a symbol and, indented, its
alternatives, separated by `|`. In an alternative,

- `{symbol}` is replaced by an alternative of that symbol, but not by the same one twice in a row;
- `{symbol+s}` is its plural or, for a verb, its third person;
- `(this|that|)` is an inline choice;
- `^` capitalises the next letter, ` // ` starts a new line, and "a" becomes "an" where needed.

A symbol in capitals belongs to the cast, which is drawn once per piece of text, so that the same
person enters at its beginning and leaves at its end; its line names fields, separated by `;` in its
alternatives: `{BREW.grind}`. Two are drawn of `PERSON`: `{A}` and `{B}`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rondel.text.corpora import corpora
from rondel.text.corpora.base import BuiltIn, check_size

DEFAULT_SIZE = 500_000
LONGEST_PIECE = 4_000

_CHOICE = re.compile(r"\(([^()]*)\)")
_SYMBOL = re.compile(r"\{([^{}]*)\}")
_PLURAL = "+s"
_CAPITAL = re.compile(r"\^(\W*\w)")
# "an" goes before a vowel that is heard: an hour, but a Ugandan one.
_ARTICLE = re.compile(
    r"\b([Aa])(?= (?:(?!one\b|once|uni|use|usu|eu|ugan)[aeiou]|hour|honest|heir))", re.IGNORECASE
)
_SENTENCE_END = re.compile(r'[.!?]"?(?=\s+["A-Z]|\s*$)')

# A parsed alternative: literal text at even indices, symbols at odd ones.
Alternative = tuple[str, ...]


class Grammar(NamedTuple):
    """Rules by symbol, and the cast: for each of its symbols, the members, as texts by field."""

    rules: dict[str, tuple[Alternative, ...]]
    cast: dict[str, tuple[dict[str, str], ...]]


@dataclass(frozen=True)
class Coffee(BuiltIn):
    """Generated sentences about coffee, the same for the same seed.

    Another `size` gives more or less of the same text. Everything is drawn by
    `random.Random(seed).random()`, whose numbers are the same in all versions of Python.
    """

    def whole_text(self) -> str:
        """See `Corpus.whole_text`."""
        return self.text()

    def text(self, size: int | None = None, seed: int = 1) -> str:
        """Return whole sentences, at least one, of `size` characters together or a few fewer.

        Raises `InputError` if `size` is below 1.
        """
        check_size(size)
        size = DEFAULT_SIZE if size is None else size
        writer = Writer(seed)
        pieces: list[str] = []
        length = 0
        while length < size:
            pieces.append(writer.piece())
            length += len(pieces[-1]) + 2
        return whole_sentences("\n\n".join(pieces), size - 1) + "\n"


class Writer:
    """Writes pieces of text from the grammar, one after another."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random
        self._grammar = read_grammar()
        self._last: dict[str, int] = {}

    def piece(self) -> str:
        """Write the next piece: a scene, a recipe, a letter, a conversation …"""
        parts: list[str] = []
        self._write("piece", self._draw_cast(), parts)
        text = _CAPITAL.sub(lambda match: match[1].upper(), "".join(parts))
        return with_articles(text).replace(" // ", "\n")

    def _draw_cast(self) -> dict[str, str]:
        """Draw the cast of a piece: a text for each of its symbols and fields."""
        cast: dict[str, str] = {}
        for symbol, members in self._grammar.cast.items():
            for role in ("A", "B") if symbol == "PERSON" else (symbol,):
                member = members[self._draw(symbol, len(members))]
                cast.update((role + field, text) for field, text in member.items())
        return cast

    def _draw(self, symbol: str, count: int) -> int:
        """Draw one of `count` indices, but not the one drawn last for this symbol."""
        last = self._last.get(symbol)
        if last is None or count == 1:
            index = int(self._random() * count)
        else:
            index = int(self._random() * (count - 1))
            if index >= last:
                index += 1
        self._last[symbol] = index
        return index

    def _write(self, symbol: str, cast: dict[str, str], parts: list[str]) -> None:
        """Expand `symbol` and append its text to `parts`."""
        if symbol in cast:
            parts.append(cast[symbol])
            return
        alternatives = self._grammar.rules[symbol]
        alternative = alternatives[self._draw(symbol, len(alternatives))]
        parts.append(alternative[0])
        for i in range(1, len(alternative), 2):
            self._write(alternative[i], cast, parts)
            parts.append(alternative[i + 1])


@cache
def read_grammar() -> Grammar:
    """Read `coffee.grammar`."""
    grammar = Grammar({}, {})
    source = Path(__file__).with_suffix(".grammar").read_text(encoding="utf-8")
    for block in re.split(r"\n(?=[A-Za-z])", re.sub(r"(?m)^#.*\n", "", source).strip()):
        head, body = block.split("\n", 1)
        symbol, *fields = head.split()
        if symbol.isupper():
            members = (map(str.strip, member.split(";")) for member in body.split("|"))
            grammar.cast[symbol] = tuple(
                dict(zip(["", *fields], map(_one_line, member), strict=True)) for member in members
            )
        else:
            _add_rule(grammar.rules, symbol, body)
    for symbol in _plurals(grammar.rules):
        one = grammar.rules[symbol.removesuffix(_PLURAL)]
        grammar.rules[symbol] = tuple((plural(text),) for (text,) in one)
    return grammar


def _add_rule(rules: dict[str, tuple[Alternative, ...]], symbol: str, body: str) -> None:
    """Parse the alternatives of a rule; an inline choice becomes a separate rule."""

    def name_choice(match: re.Match[str]) -> str:
        choice = f"{symbol}, choice {len(rules)}"
        rules[choice] = tuple(tuple(_SYMBOL.split(text)) for text in match[1].split("|"))
        return f"{{{choice}}}"

    body = _CHOICE.sub(name_choice, body)
    rules[symbol] = tuple(tuple(_SYMBOL.split(_one_line(text))) for text in body.split("|"))


def _plurals(rules: dict[str, tuple[Alternative, ...]]) -> set[str]:
    symbols = (
        part for rule in rules.values() for alternative in rule for part in alternative[1::2]
    )
    return {symbol for symbol in symbols if symbol.endswith(_PLURAL)}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def with_articles(text: str) -> str:
    """Replace "a" by "an" before a vowel sound."""
    return _ARTICLE.sub(r"\1n", text)


def plural(words: str) -> str:
    """Return the plural of a regular noun or the third person of a verb: "cups of tea"."""
    head, of, rest = words.partition(" of ")
    if re.search("(s|x|z|ch|sh)$", head):
        head += "es"
    elif re.search("[^aeiou]y$", head):
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + of + rest


def whole_sentences(text: str, size: int) -> str:
    """Return the longest beginning of `text` of at most `size` characters that ends a sentence.

    It is longer only if the first sentence is. No quotation is left open. `text` may be longer than
    `size` by `LONGEST_PIECE` characters.
    """
    ends = []
    for match in _SENTENCE_END.finditer(text, max(0, size - LONGEST_PIECE)):
        end = match.end()
        if text.count('"', text.rfind("\n", 0, end) + 1, end) % 2 == 0:
            ends.append(end)
    return text[: max((end for end in ends if end <= size), default=ends[0])]


corpora.register("coffee")(
    Coffee(
        name="coffee",
        description="sentences about coffee, from a grammar",
        size="any",
        licence="MIT",
    )
)
