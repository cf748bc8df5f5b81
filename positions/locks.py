"""Row locks of positions, then of what guards them, after capital and orders (see ``allocation.locks``);
valuations come last."""

from __future__ import annotations

from collections.abc import Iterable

from positions.models import ExitDefaults, ExitGuard, Position, Valuation


def position_lock(*, portfolio_id: int, underlying: str) -> Position | None:
    """Lock and return the open position of an underlying, None if there is none."""
    positions = Position.objects.select_for_update(of=("self",)).select_related("instrument")
    return (
        positions.filter(portfolio_id=portfolio_id, underlying=underlying)
        .exclude(status=Position.Status.CLOSED)
        .first()
    )


def position_by_id_lock(*, portfolio_id: int, position_id: int) -> Position | None:
    """Lock and return one of a portfolio's positions, None if it has none of this id."""
    positions = Position.objects.select_for_update(of=("self",))
    return positions.filter(portfolio_id=portfolio_id, pk=position_id).first()


def positions_lock(*, portfolio_id: int) -> list[Position]:
    """Lock and return a portfolio's open positions, by ascending id."""
    positions = Position.objects.select_for_update(of=("self",)).select_related("instrument")
    return list(
        positions.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED).order_by("pk")
    )


def guard_lock(*, position_id: int) -> ExitGuard | None:
    """Lock and return what guards a position, None if it was never guarded."""
    return ExitGuard.objects.select_for_update(of=("self",)).filter(position_id=position_id).first()


def exit_defaults_lock(*, portfolio_id: int) -> ExitDefaults:
    """Lock and return the exit rules of a portfolio's new positions, which it must have as a row."""
    return ExitDefaults.objects.select_for_update(of=("self",)).get(pk=portfolio_id)


def valuations_lock(*, portfolio_ids: Iterable[int]) -> dict[int, Valuation]:
    """Lock and return the stored valuations of portfolios, in the order of their ids."""
    rows = Valuation.objects.select_for_update(of=("self",)).filter(pk__in=list(portfolio_ids)).order_by("pk")
    return {row.pk: row for row in rows}
