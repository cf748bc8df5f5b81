"""How a language writes numbers, money and dates, and how numbers that people type are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

MINUS: Final = "\u2212"
NARROW: Final = "\u202f"  # no-break space between groups of digits
_SPACES: Final = re.compile("[ \u00a0\u202f]")


@dataclass(frozen=True, slots=True)
class Shape:
    """The signs a language writes numbers with, and its twelve short months."""

    decimal: str
    group: str
    dollars_last: bool
    months: tuple[str, ...]


ENGLISH: Final = Shape(
    ".", ",", False, ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
)
POLISH: Final = Shape(
    ",", NARROW, True, ("sty", "lut", "mar", "kwi", "maj", "cze", "lip", "sie", "wrz", "paź", "lis", "gru")
)
SHAPES: Final = {"en": ENGLISH, "pl": POLISH}


def shape_of(*, language: str) -> Shape:
    """Return the shape of a language code such as ``pl`` or ``en-gb``; English for one we do not know."""
    return SHAPES.get(language.partition("-")[0], ENGLISH)


def localised(text: str, *, shape: Shape) -> str:
    """Return digits written the English way (1,234.50) in the signs of ``shape``."""
    if shape is ENGLISH:
        return text
    return text.translate({ord(","): shape.group, ord("."): shape.decimal})


def dollars(body: str, *, shape: Shape) -> str:
    """Return digits without a sign as an amount of dollars: ``$1,234.50`` or ``1 234,50 $``."""
    return f"{body}\u00a0$" if shape.dollars_last else f"${body}"


class Ambiguous(ValueError):
    """What was typed could mean two numbers; nothing is guessed."""


_THOUSAND_OR_FRACTION: Final = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*(?!\1)[.,]\d+")
_MANY_GROUPS: Final = re.compile(r"[+-]?\d{1,3}(?:([.,])\d{3})(?:\1\d{3})+")


def number_plain(typed: str, *, shape: Shape) -> str:
    """Return a typed number as ``Decimal`` reads it; what is no number comes back as it was typed.

    Where the comma is the decimal sign, a point is taken for it too and spaces part thousands. "1,234" and
    "1.234" may mean a thousand or a fraction, so they are refused rather than read.

    :raises Ambiguous: the text could mean two numbers
    """
    text = typed.strip()
    if shape is ENGLISH:
        return text
    bare = _SPACES.sub("", text).replace(MINUS, "-")
    if _THOUSAND_OR_FRACTION.fullmatch(bare):
        raise Ambiguous(text)
    if _MANY_GROUPS.fullmatch(bare):
        return bare.replace(",", "").replace(".", "")
    if _GROUPED.fullmatch(bare):
        last = max(bare.rfind(","), bare.rfind("."))
        return f"{re.sub('[.,]', '', bare[:last])}.{bare[last + 1 :]}"
    return bare.replace(",", ".") if re.fullmatch(r"[+-]?\d*[.,]?\d+", bare) else text


def number_text(value: Decimal, digits: int, *, shape: Shape) -> str:
    """Return a number without its sign, in groups, with ``digits`` decimals."""
    return localised(f"{abs(value):,.{digits}f}", shape=shape)
