"""What the pages read beyond the live view."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.core.paginator import Page, Paginator

from accounts.models import Portfolio
from allocation.follows import follows_current
from allocation.models import BlockedUnderlying, CapitalAccount, Follow, LedgerEntry
from core.errors import NotFound
from positions.models import ConflictOverride
from traders.models import StrategySignal

LEDGER_LENGTH: Final = 20
SIGNALS_PER_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Money:
    """The cash of a portfolio and its newest bookings; amounts in the quote currency."""

    account: CapitalAccount
    ledger: tuple[LedgerEntry, ...]

    @property
    def total(self) -> Decimal:
        """Cash and spot holdings at cost."""
        return self.account.cash + self.account.deployed

    @property
    def tied(self) -> Decimal:
        """What stands behind orders and margin."""
        return self.account.reserved + self.account.committed


def money_read(*, portfolio: Portfolio) -> Money:
    """Read the capital account and its newest bookings."""
    entries = LedgerEntry.objects.filter(portfolio=portfolio).order_by("-id")[:LEDGER_LENGTH]
    return Money(account=CapitalAccount.objects.get(portfolio=portfolio), ledger=tuple(entries))


def follow_get(*, portfolio: Portfolio, follow_id: int) -> Follow:
    """Return one of the portfolio's follows that has not been removed.

    :raises NotFound: there is none of this number in this portfolio
    """
    for follow in follows_current(portfolio_id=portfolio.pk):
        if follow.pk == follow_id:
            return follow
    raise NotFound(f"This portfolio follows nobody under the number {follow_id}.")


def signals_read(*, follow: Follow, trades_only: bool, page: str | None) -> Page[StrategySignal]:
    """Return a page of what a followed strategy said, newest first; a page that is none becomes the nearest.

    :param trades_only: only the signals on which its book bought or sold
    """
    rows = StrategySignal.objects.filter(trader_id=follow.trader_id).order_by("-at", "code")
    if trades_only:
        rows = rows.exclude(quantity=0)
    return Paginator(rows, SIGNALS_PER_PAGE).get_page(page)


def overrides_of(*, portfolio: Portfolio) -> list[ConflictOverride]:
    """Return the conflict rules of single instruments."""
    return list(ConflictOverride.objects.filter(portfolio=portfolio))


def blocked_of(*, portfolio: Portfolio) -> list[BlockedUnderlying]:
    """Return the instruments that are never opened."""
    return list(BlockedUnderlying.objects.filter(portfolio=portfolio))
