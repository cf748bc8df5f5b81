"""Row locks of positions. Capital row first, then orders, then these (see ``allocation.locks``)."""

from __future__ import annotations

from positions.models import Position


def position_lock(*, portfolio_id: int, underlying: str) -> Position | None:
    """Lock and return the open position of an underlying, None if there is none."""
    positions = Position.objects.select_for_update(of=("self",)).select_related("instrument")
    return (
        positions.filter(portfolio_id=portfolio_id, underlying=underlying)
        .exclude(status=Position.Status.CLOSED)
        .first()
    )


def positions_lock(*, portfolio_id: int) -> list[Position]:
    """Lock and return a portfolio's open positions, by ascending id."""
    positions = Position.objects.select_for_update(of=("self",)).select_related("instrument")
    return list(
        positions.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED).order_by("pk")
    )
