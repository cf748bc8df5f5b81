"""Where the pieces of a signed bar go: shorts grow left of zero, longs right. Percent of the bar's width.

The twin of ``diverge`` in ``static/js/geometry.js``, for pages the server draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.decimals import ZERO

LEFT: Final = Decimal(1)
RIGHT: Final = Decimal(99)
WIDE: Final = Decimal(9)  # from this width on a monogram fits into a piece
CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Piece:
    """One trader's part of the bar."""

    x: str
    width: str
    middle: str
    monogram: str  # empty where it does not fit
    hue: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its zero and the net before and after."""

    pieces: tuple[Piece, ...]
    zero: str
    before: str
    after: str


def bar_of(*, parts: Sequence[tuple[Decimal, str, int, bool]], before: Decimal, after: Decimal) -> Bar:
    """Lay out a bar.

    :param parts: signed quantity, monogram, hue, and whether it counts, per trader
    :param before: signed net before; ``after`` likewise
    """
    shorts = sum((min(quantity, ZERO) for quantity, *_ in parts), ZERO)
    longs = sum((max(quantity, ZERO) for quantity, *_ in parts), ZERO)
    low, high = min(shorts, before, after, ZERO), max(longs, before, after, ZERO)

    def place(value: Decimal) -> Decimal:
        return LEFT + (value - low) / ((high - low) or 1) * (RIGHT - LEFT)

    pieces, short, long = [], ZERO, ZERO
    for quantity, monogram, hue, counted in parts:
        start, end = (short + quantity, short) if quantity < 0 else (long, long + quantity)
        short, long = (start, long) if quantity < 0 else (short, end)
        left, right = place(start), place(end)
        fits = monogram if right - left > WIDE else ""
        pieces.append(Piece(_text(left), _text(right - left), _text((left + right) / 2), fits, hue, counted))
    return Bar(tuple(pieces), zero=_text(place(ZERO)), before=_text(place(before)), after=_text(place(after)))


def _text(value: Decimal) -> str:
    return f"{value.quantize(CENT)}%"
