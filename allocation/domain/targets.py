"""What a follow wants in our money: the trader's exposure, scaled to its share of our equity (ALL-3).

Signed target of trader i in underlying s = wᵢ · E · notional ÷ trader equity, both at the same
marks. If Σ|targets of i| > wᵢ · E · cap, all its legs are scaled down by one factor, so that what
traders may use together can never exceed Σ wᵢ · E · cap = E · cap.

Units: quote currency, rounded toward zero to the ledger's 8 places; long positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from allocation.domain.books import TraderBook
from allocation.domain.copied import copied_notional, copied_quantity
from core.decimals import MONEY_STEP, ONE, ZERO, to_step


@dataclass(frozen=True, slots=True)
class TraderTargets:
    """What one follow wants, by underlying.

    :param quantities: copied quantity of the trader's, signed, in units of the underlying
    :param notionals: our signed target for it
    :param share: wᵢ · E, the capital assigned to the trader
    :param scale: the factor all legs were multiplied by to stay within the share; 1 where it did not bind
    """

    quantities: Mapping[str, Decimal]
    notionals: Mapping[str, Decimal]
    share: Decimal
    scale: Decimal


def trader_targets(
    *, weight: Decimal, equity: Decimal, gross_cap: Decimal, book: TraderBook, ignored: Mapping[str, Decimal]
) -> TraderTargets:
    """Scale a trader's book to its share of our equity.

    :param weight: the trader's weight, 0 to 1
    :param equity: our equity; at or below zero every target is 0
    :param gross_cap: most gross exposure per unit of equity, e.g. 1 for spot
    :param ignored: ratcheted quantities that are not copied
    :raises ValueError: the trader's equity is not above zero, so it has no exposure ratio
    """
    if not book.usable:
        msg = f"a book with equity {book.equity} has no exposure ratio"
        raise ValueError(msg)
    share = weight * max(equity, ZERO)
    wanted = {
        underlying: copied_notional(leg=leg, ignored=ignored.get(underlying, ZERO)) * share / book.equity
        for underlying, leg in book.legs.items()
    }
    gross = sum((abs(notional) for notional in wanted.values()), ZERO)
    allowed = share * gross_cap
    binds = gross > allowed
    return TraderTargets(
        quantities={
            underlying: copied_quantity(leg=leg, ignored=ignored.get(underlying, ZERO))
            for underlying, leg in book.legs.items()
        },
        notionals={
            underlying: _money_toward_zero(notional * allowed / gross if binds else notional)
            for underlying, notional in wanted.items()
        },
        share=share,
        scale=allowed / gross if binds else ONE,
    )


def _money_toward_zero(value: Decimal) -> Decimal:
    return to_step(value, MONEY_STEP)
