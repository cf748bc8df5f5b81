"""What portfolios are worth: equity, unit value, peak and start of day, and the equity curve.

Equity = cash − deficit + spot holdings at mark + unrealized P&L of perpetuals. Margin is part of cash.
An account and its positions are read in one statement, so a booking in between cannot tear them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import transaction
from django.db.models import F, FilteredRelation, Q

from accounts.models import Portfolio
from allocation.models import CapitalAccount
from core.decimals import ONE, ZERO, to_money, to_price
from core.types import Policy
from markets.models import Mark, World
from positions.domain.margin import LiquidationPlan, PerpHolding, liquidation_plan, liquidation_price
from positions.domain.worth import HeldAtMark, Worth, worth_of
from positions.locks import valuations_lock
from positions.models import EquityPoint, Position, Valuation

__all__ = [
    "BooksAtMark",
    "books_at_marks",
    "liquidation_check",
    "liquidation_of",
    "liquidation_price",
    "peak_rebase",
    "portfolio_equity",
    "portfolio_withdrawable",
    "valuation_rebase",
    "valuations_update",
]

POINT_EVERY: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class BooksAtMark:
    """One portfolio's account and open positions as they stood at one moment, at the world's last marks.

    :param margin: what is set aside behind the perpetuals
    :param unpriced: codes of held instruments that have no mark; such a portfolio cannot be valued
    """

    portfolio_id: int
    world: str
    cash: Decimal
    deficit: Decimal
    units: Decimal
    deposits_net: Decimal
    version: int
    margin: Decimal
    holdings: tuple[HeldAtMark, ...]
    unpriced: tuple[str, ...]

    @property
    def worth(self) -> Worth:
        """Equity and exposure."""
        return worth_of(cash=self.cash, deficit=self.deficit, holdings=self.holdings)


def books_at_marks(*, portfolio_ids: Iterable[int]) -> list[BooksAtMark]:
    """Read accounts with their open positions in one statement, and price them; ordered by portfolio."""
    accounts: dict[int, dict[str, Any]] = {}
    held: dict[int, list[dict[str, Any]]] = {}
    for row in _book_rows(portfolio_ids):
        accounts[row["portfolio_id"]] = row
        if row["code"] is not None:
            held.setdefault(row["portfolio_id"], []).append(row)
    marks = _marks_for(held.values())
    return [_books(row, held.get(portfolio_id, []), marks) for portfolio_id, row in accounts.items()]


def _book_rows(portfolio_ids: Iterable[int]) -> list[dict[str, Any]]:
    open_positions = FilteredRelation(
        "portfolio__positions", condition=~Q(portfolio__positions__status=Position.Status.CLOSED)
    )
    rows = (
        CapitalAccount.objects.filter(pk__in=list(portfolio_ids))
        .annotate(held=open_positions)
        .order_by("portfolio_id", "held__id")
        .values(
            "portfolio_id",
            "cash",
            "deficit",
            "units",
            "deposits_net",
            "version",
            world=F("portfolio__world"),
            code=F("held__instrument_id"),
            underlying=F("held__underlying"),
            policy=F("held__policy"),
            quantity=F("held__quantity"),
            cost=F("held__cost"),
            margin=F("held__margin"),
            max_leverage=F("held__instrument__max_leverage"),
        )
    )
    return [dict(row) for row in rows]


def _marks_for(groups: Iterable[list[dict[str, Any]]]) -> dict[tuple[str, str], Decimal]:
    wanted = {(row["world"], row["code"]) for rows in groups for row in rows}
    marks = Mark.objects.filter(
        world_id__in={world for world, _ in wanted}, instrument_id__in={code for _, code in wanted}
    )
    return {
        (world, code): price for world, code, price in marks.values_list("world_id", "instrument_id", "price")
    }


def _books(
    account: dict[str, Any], rows: Sequence[dict[str, Any]], marks: Mapping[tuple[str, str], Decimal]
) -> BooksAtMark:
    priced = [row for row in rows if (row["world"], row["code"]) in marks]
    return BooksAtMark(
        portfolio_id=account["portfolio_id"],
        world=account["world"],
        cash=account["cash"],
        deficit=account["deficit"],
        units=account["units"],
        deposits_net=account["deposits_net"],
        version=account["version"],
        margin=sum((row["margin"] for row in rows), ZERO),
        holdings=tuple(
            HeldAtMark(
                underlying=row["underlying"],
                code=row["code"],
                spot=row["policy"] == Policy.SPOT,
                quantity=row["quantity"],
                cost=row["cost"],
                mark=marks[row["world"], row["code"]],
                max_leverage=row["max_leverage"],
            )
            for row in priced
        ),
        unpriced=tuple(row["code"] for row in rows if row["quantity"] and row not in priced),
    )


class Unpriced(ValueError):
    """A held instrument has no mark, so the portfolio cannot be valued."""


def portfolio_equity(*, portfolio: Portfolio) -> Decimal:
    """Return a portfolio's equity at its world's last marks, to 8 places.

    :raises Unpriced: a held instrument has no mark
    """
    return _books_priced(portfolio_id=portfolio.pk).worth.equity


def equity_of(*, books: BooksAtMark) -> Decimal:
    """Return the equity of one portfolio's books, to 8 places.

    :raises Unpriced: a held instrument has no mark
    """
    return _priced(books).worth.equity


def portfolio_withdrawable(*, portfolio: Portfolio) -> Decimal:
    """Return what the equity can spare: equity − margin in use − maintenance margin of the perpetuals, >= 0.

    So no withdrawal brings a perpetual near its liquidation. Free capital bounds it besides.

    :raises Unpriced: a held instrument has no mark
    """
    books = _books_priced(portfolio_id=portfolio.pk)
    plan = liquidation_of(books=books)
    return max(ZERO, plan.equity - plan.maintenance - books.margin)


def _books_priced(*, portfolio_id: int) -> BooksAtMark:
    (books,) = books_at_marks(portfolio_ids=[portfolio_id])
    return _priced(books)


def _priced(books: BooksAtMark) -> BooksAtMark:
    if books.unpriced:
        raise Unpriced(
            f"portfolio {books.portfolio_id} holds {', '.join(books.unpriced)} without a mark "
            f"in {books.world}"
        )
    return books


def liquidation_check(*, portfolio_id: int) -> LiquidationPlan:
    """Tell which perpetuals of a portfolio must be closed now because equity fell below maintenance margin.

    :raises Unpriced: a held instrument has no mark, so nothing can be said
    """
    return liquidation_of(books=_books_priced(portfolio_id=portfolio_id))


def liquidation_of(*, books: BooksAtMark) -> LiquidationPlan:
    """Tell the same of books that were read already, every holding of which has a mark."""
    perps = [
        PerpHolding(held.underlying, held.code, held.quantity, held.mark, held.max_leverage)
        for held in books.holdings
        if not held.spot
    ]
    return liquidation_plan(equity=books.worth.equity, holdings=perps)


@transaction.atomic
def valuations_update(*, portfolio_ids: Iterable[int], now: datetime, filled: bool = False) -> list[int]:
    """Value portfolios and store it; return the ids of those that could not be valued for want of a mark.

    A point is added to the equity curve when the last is 10 s of wall time old, when something was filled,
    and at the start of a run. A new UTC day of the world begins the day's result anew; a new run of a replay
    begins day and peak anew. Valuations of one portfolio follow each other, so a peak is never lost.

    :param filled: the portfolios' fills moved their books, so a point is wanted now
    """
    portfolio_ids = sorted(portfolio_ids)
    known = valuations_lock(portfolio_ids=portfolio_ids)
    books = books_at_marks(portfolio_ids=portfolio_ids)
    worlds = World.objects.in_bulk({one.world for one in books if one.world})
    rows = [
        _valuation(one, known.get(one.portfolio_id), worlds.get(one.world), now)
        for one in books
        if not one.unpriced
    ]
    _points_add(
        rows=[row for row in rows if _point_due(row, known.get(row.portfolio_id), now, filled)], now=now
    )
    _rows_store(rows)
    return [one.portfolio_id for one in books if one.unpriced]


@transaction.atomic
def valuation_rebase(*, portfolio_id: int, now: datetime) -> None:
    """Begin the results anew at what the portfolio is worth now: peak, start of day and its flows.

    For a reset of paper cash, in the same transaction: gains and losses before it are no longer its own.

    :raises Unpriced: a held instrument has no mark
    """
    valuations_lock(portfolio_ids=[portfolio_id])
    books = _books_priced(portfolio_id=portfolio_id)
    row = _valuation(books, None, World.objects.filter(pk=books.world).first(), now)
    _points_add(rows=[row], now=now)
    _rows_store([row])


@transaction.atomic
def peak_rebase(*, portfolio_id: int, now: datetime) -> None:
    """Let the high-water mark begin anew at what a fund unit is worth now: its drawdown was looked at.

    Where something held has no mark, at what it was worth last.
    """
    valuations_update(portfolio_ids=[portfolio_id], now=now)
    Valuation.objects.filter(pk=portfolio_id).update(
        peak_unit_value=F("unit_value"), peak_equity=F("equity"), peak_at=F("world_at")
    )


def _rows_store(rows: Sequence[Valuation]) -> None:
    Valuation.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["portfolio"],
        update_fields=[f.attname for f in Valuation._meta.concrete_fields if not f.primary_key],
    )


def _valuation(one: BooksAtMark, before: Valuation | None, world: World | None, now: datetime) -> Valuation:
    """Return the new valuation of a portfolio; the stored one is left alone."""
    world_at = world.clock().at(now) if world else now
    run = world.run if world else 1
    equity = one.worth.equity
    unit_value = to_price(equity / one.units) if one.units else (before.unit_value if before else ONE)
    row = Valuation(
        portfolio_id=one.portfolio_id,
        equity=equity,
        unit_value=unit_value,
        run=run,
        at=now,
        world_at=world_at,
        point_at=before.point_at if before else None,
        day_start_at=world_at,
        day_start_equity=equity,
        day_start_unit_value=unit_value,
        day_start_deposits_net=one.deposits_net,
        peak_unit_value=unit_value,
        peak_equity=equity,
        peak_at=world_at,
    )
    if before is None or before.at is None or before.run != run:
        return row
    if _day(before.day_start_at) == _day(world_at):
        row.day_start_at, row.day_start_equity = before.day_start_at, before.day_start_equity
        row.day_start_unit_value = before.day_start_unit_value
        row.day_start_deposits_net = before.day_start_deposits_net
    if before.peak_unit_value > unit_value:
        row.peak_unit_value, row.peak_at = before.peak_unit_value, before.peak_at
        # The peak of a unit times today's units, so that flows don't move the drawdown.
        row.peak_equity = to_money(row.peak_unit_value * one.units)
    return row


def _day(at: datetime | None) -> object:
    return at.astimezone(UTC).date() if at else None


def _point_due(row: Valuation, before: Valuation | None, now: datetime, filled: bool) -> bool:
    if filled or before is None or before.point_at is None or before.run != row.run:
        return True
    return now - before.point_at >= POINT_EVERY


def _points_add(*, rows: Sequence[Valuation], now: datetime) -> None:
    """Add a point per row to the curves; a second one at the same moment of the world is left out."""
    for row in rows:
        row.point_at = now
    EquityPoint.objects.bulk_create(
        (
            EquityPoint(
                portfolio_id=row.portfolio_id,
                run=row.run,
                at=now,
                world_at=row.world_at or now,
                equity=row.equity,
                unit_value=row.unit_value,
            )
            for row in rows
        ),
        ignore_conflicts=True,
    )
