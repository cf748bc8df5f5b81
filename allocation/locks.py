"""Row locks of allocation.

Order everywhere: the portfolio's capital row first, then its orders, then its positions. Whoever
changes the money or the books of a portfolio holds its capital row, so bookings of one portfolio
happen one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from allocation.models import CapitalAccount, Reservation
from core.errors import NotFound


def capital_lock(*, portfolio_id: int) -> CapitalAccount:
    """Lock and return a portfolio's capital row until the transaction ends.

    :raises NotFound: the portfolio has no capital account
    """
    account = CapitalAccount.objects.select_for_update(of=("self",)).filter(pk=portfolio_id).first()
    if account is None:
        raise NotFound(f"Portfolio {portfolio_id} has no capital account. Open one with an initial deposit.")
    return account


def capitals_lock_free(*, portfolio_ids: Iterable[int]) -> set[int]:
    """Lock the capital rows of many portfolios until the transaction ends, those that nobody holds just now.

    It never waits, so whoever comes with many portfolios stands in nobody's way; what was held is left out.
    """
    free = CapitalAccount.objects.select_for_update(of=("self",), skip_locked=True)
    return set(free.filter(pk__in=list(portfolio_ids)).order_by("pk").values_list("pk", flat=True))


def reservation_lock(*, reservation_id: UUID) -> Reservation:
    """Lock and return a reservation; its portfolio's capital row must be locked already.

    :raises NotFound: there is no such reservation
    """
    reservation = Reservation.objects.select_for_update(of=("self",)).filter(pk=reservation_id).first()
    if reservation is None:
        raise NotFound(f"There is no reservation {reservation_id}.")
    return reservation
