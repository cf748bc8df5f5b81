"""A portfolio's equity and exposure at given marks. Quote currency to 8 places; quantities signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from core.decimals import ZERO
from positions.domain.booking import notional_of, unrealized_pnl


@dataclass(frozen=True, slots=True)
class HeldAtMark:
    """An open position and the last price of its instrument.

    :param spot: a spot holding is worth quantity × mark; a perpetual only its unrealized P&L
    """

    underlying: str
    code: str
    spot: bool
    quantity: Decimal
    cost: Decimal
    mark: Decimal
    max_leverage: int = 20


@dataclass(frozen=True, slots=True)
class Worth:
    """What a portfolio is worth, its unrealized P&L, and Σ|notional| and Σ notional of what it holds."""

    equity: Decimal
    unrealized: Decimal
    gross: Decimal
    net: Decimal


def worth_of(*, cash: Decimal, deficit: Decimal, holdings: Sequence[HeldAtMark]) -> Worth:
    """Return equity = cash − deficit + Σ spot quantity × mark + Σ perpetual unrealized P&L, and exposure.

    :param cash: free + reserved + committed, so margin is in it
    """
    equity, unrealized, gross, net = cash - deficit, ZERO, ZERO, ZERO
    for held in holdings:
        notional = notional_of(quantity=held.quantity, price=held.mark)
        gain = unrealized_pnl(quantity=held.quantity, cost=held.cost, mark=held.mark)
        equity += notional if held.spot else gain
        unrealized += gain
        gross += abs(notional)
        net += notional
    return Worth(equity=equity, unrealized=unrealized, gross=gross, net=net)
