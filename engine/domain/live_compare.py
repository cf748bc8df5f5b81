"""What an account holds, held against what our books say: ours, not ours, and what is missing.

Quantities are signed base units of our instruments; cash is in the account's currency. Nothing here decides
what to do: a difference is told to a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal

from core.decimals import ZERO, plain

CASH_PART = Decimal("0.0005")  # of the cash: below it a difference is roundings and fees under way
CASH_LEAST = Decimal(1)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the books do not explain.

    :param kind: one of ``accounts.models.LiveFinding.Kind``
    :param books: what they expect there; ``seen``: what the venue tells
    """

    kind: str
    code: str
    books: Decimal
    seen: Decimal
    text: str


def part_ours(*, held: Decimal, seen: Decimal) -> Decimal:
    """Return the part of what is there that our books hold, signed: never more, never of the other side."""
    if held == 0 or seen == 0 or (held > 0) != (seen > 0):
        return ZERO
    return min(held, seen, key=abs)


def holdings_missing(
    *, held: Mapping[str, Decimal], seen: Mapping[str, Decimal], moving: AbstractSet[str]
) -> list[Difference]:
    """Return of which instruments less is there than our books hold, or the other side of it.

    :param moving: instruments with orders under way, of which nothing can be said now
    """
    found = []
    for code, ours in sorted(held.items()):
        there = part_ours(held=ours, seen=seen.get(code, ZERO))
        if ours and there != ours and code not in moving:
            total = seen.get(code, ZERO)
            text = (
                f"Our books hold {plain(ours)} {code}, the account {plain(total)}: somebody else has traded "
                "or moved it. Nothing is opened until that is settled; exits sell what is there."
            )
            found.append(Difference("missing", code, ours, total, text))
    return found


def cash_difference(*, cash: Decimal, elsewhere: Decimal, seen: Decimal, quote: str) -> Difference | None:
    """Return what the account's cash does not agree in; None where it does, or the rest is rounding.

    :param cash: what our books hold; ``elsewhere``: what lay beside it and is not the portfolio's
    """
    expected = cash + elsewhere
    change = seen - expected
    if abs(change) <= max(CASH_LEAST, expected * CASH_PART):
        return None
    amount = f"{plain(abs(change))} {quote}"
    if change > 0:
        text = f"{amount} came into the account. Say whether the portfolio may use it."
        return Difference("cash_came", quote, expected, seen, text)
    if seen >= cash:
        text = f"{amount} that are not the portfolio's went out of the account."
        return Difference("cash_left", quote, expected, seen, text)
    text = (
        f"Our books hold {plain(cash)} {quote}, the account only {plain(seen)}. Nothing is opened until that "
        "is settled: bring it back, or book the difference."
    )
    return Difference("cash_missing", quote, cash, seen, text)
