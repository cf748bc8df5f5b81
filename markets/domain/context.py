"""How much of an instrument trades and what its book is like, as a venue tells it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """One instrument's market.

    :param day_volume: traded in the last 24 hours, in quote currency
    :param impact_spread: (ask − bid) ÷ their mean at the venue's impact size; None where the book is too thin
    """

    code: str
    day_volume: Decimal
    impact_spread: Decimal | None
