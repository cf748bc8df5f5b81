"""Say a sentence that the code wrote in English in another language, by recognising the template it was
made from.

English is the language of record: reasons, refusals and answers are kept as the sentence that was written
when they
came about. Who reads in another language is told the same sentence: its template is found ("{0} needed,
{1} free"),
the translation of the template takes its values over, and the values themselves are said too, so that a
side, a
number or a sentence inside a sentence is not left in English. What is not recognised stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from core.locales import Shape, dollars, localised

HOLE: Final = re.compile(r"\{(\w+)\}")
_NUMBER: Final = re.compile(
    r"(?P<sign>[+\u2212-]?)(?P<money>\$?)(?P<body>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?P<unit>%|x|\u00d7| (?:%|bps|s|ms|min|h|d|[A-Z][A-Z0-9:/.-]*))?"
)
_DATE: Final = re.compile(
    r"(?P<day>\d{1,2}) (?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r"(?P<rest>(?: \d{4})?(?:,? \d\d:\d\d(?::\d\d)?)?(?: UTC)?)"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STRONG: Final = (". ", "; ")  # a value of a sentence hardly holds one, so sentences are parted there first
_SEAMS: Final = (*_STRONG, ": ", ", ", " and ")
_DEEPEST: Final = 4  # sentences within sentences


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: re.Pattern[str]
    anchor: str  # a piece every such sentence has
    holes: tuple[str, ...]
    said: str


class Phrasebook:
    """The templates of one language, English to its own; safe to share between threads."""

    def __init__(self, *, entries: Mapping[str, str], shape: Shape) -> None:
        self._shape = shape
        self._exact = {text: said for text, said in entries.items() if not HOLE.search(text)}
        self._patterns = sorted(
            (_pattern(text, said) for text, said in entries.items() if HOLE.search(text)),
            key=lambda pattern: (-_literal_length(pattern.regex.pattern), pattern.regex.pattern),
        )
        self.say = lru_cache(maxsize=20_000)(self._say)

    def _say(self, text: str) -> str:
        """Return a sentence in this language, or as it is."""
        return self._said(text, 0) or text

    def _said(self, text: str, depth: int) -> str | None:
        if depth > _DEEPEST or not text:
            return None
        found = self._exact.get(text) or self._pieces(text, depth, seams=_STRONG, all_known=True)
        found = found or self._whole(text, depth) or self._recased(text, depth)
        if found is None and text.endswith(".") and (found := self._said(text[:-1], depth + 1)) is not None:
            return f"{found}."
        return found or self._value(text) or self._pieces(text, depth)

    def _whole(self, text: str, depth: int) -> str | None:
        if (exact := self._exact.get(text)) is not None:
            return exact
        for pattern in self._patterns:
            if pattern.anchor in text and (match := pattern.regex.fullmatch(text)):
                values = dict(zip(pattern.holes, match.groups(), strict=True))
                told = {name: self._inside(value, depth) for name, value in values.items()}
                return _filled(pattern.said, told)
        return None

    def _inside(self, value: str, depth: int) -> str:
        bare = value.strip()
        said = self._said(bare, depth + 1)
        return value if said is None else value.replace(bare, said, 1)

    def _recased(self, text: str, depth: int) -> str | None:
        other = text[0].swapcase() + text[1:]
        if other == text:
            return None
        found = self._whole(other, depth)
        if not found:
            return None
        return (found[0].upper() if text[0].isupper() else found[0].lower()) + found[1:]

    def _value(self, text: str) -> str | None:
        """Return a lone number, amount or date in this language's signs."""
        if match := _NUMBER.fullmatch(text):
            body = localised(match["body"], shape=self._shape)
            body = dollars(body, shape=self._shape) if match["money"] else body
            return f"{match['sign']}{body}{match['unit'] or ''}"
        if match := _DATE.fullmatch(text):
            return f"{match['day']} {self._shape.months[_MONTHS.index(match['month'])]}{match['rest']}"
        return None

    def _pieces(
        self, text: str, depth: int, *, seams: tuple[str, ...] = _SEAMS, all_known: bool = False
    ) -> str | None:
        """Say a text that was joined from sentences; None where no piece, or not every one, is known."""
        for seam in seams:
            if seam not in text:
                continue
            pieces = text.split(seam)
            ends = [seam[0] == "." and at < len(pieces) - 1 for at in range(len(pieces))]
            said = [self._piece(piece, depth, ended=end) for piece, end in zip(pieces, ends, strict=True)]
            if all(said) if all_known else any(said):
                joint = self._exact.get(seam, seam)
                return joint.join(new or old for new, old in zip(said, pieces, strict=True))
        return None

    def _piece(self, piece: str, depth: int, *, ended: bool) -> str | None:
        """Say one piece; one that the seam has robbed of its full stop is looked for with it first."""
        if ended and (whole := self._whole(f"{piece}.", depth)) is not None:
            return whole.removesuffix(".")
        return self._said(piece, depth + 1)


def _pattern(text: str, said: str) -> _Pattern:
    pieces = HOLE.split(text)
    literals, holes = pieces[::2], tuple(pieces[1::2])
    regex = re.escape(literals[0]) + "".join("(.+?)" + re.escape(literal) for literal in literals[1:])
    return _Pattern(re.compile(regex, re.DOTALL), max(literals, key=len), holes, said)


def _filled(said: str, told: Mapping[str, str]) -> str:
    return HOLE.sub(lambda hole: told[hole[1]], said)


def _literal_length(regex: str) -> int:
    return len(regex.replace("(.+?)", ""))
