"""Feasibility before following: what the copy cycle reads of the portfolio, with the trader added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from accounts.models import Portfolio
from accounts.reading import consistent_read
from allocation.domain.books import BasisLeg, TraderBook, book_at_marks
from allocation.domain.copied import JoinMode, ignored_on_join
from core.instruments import underlying_of
from engine.domain.copy_types import CopyInputs, FollowInput, FollowState, Market
from engine.domain.feasibility import CANDIDATE, Feasibility, feasibility_foresee
from engine.gather import cycle_gather
from engine.models import CycleState
from markets.models import Instrument, World
from markets.selectors import marks_for
from traders.services import PreviewPosition, TraderPreview

LAST_PLACE: Final = 1000


def trader_feasibility(
    *, portfolio: Portfolio, preview: TraderPreview, now: datetime, joins: JoinMode | None = None
) -> Feasibility | None:
    """Say how much of a previewed trader this portfolio could copy; None where it lives in another world.

    :param joins: what would be copied on following in this way, right now; None is all of the book, as if
        each of its positions were opened now
    :raises UnableToAllocate: it would be an eleventh trader
    """
    world = World.objects.filter(pk=preview.identity.world).first()
    if world is None or portfolio.world not in ("", world.name):
        return None
    with consistent_read():
        prices = {code: mark.price for code, mark in marks_for(world=world.name, now=now).items()}
        book = _book(preview, prices)
        candidate = FollowInput(
            follow_id=CANDIDATE,
            trader_id=preview.trader_id or CANDIDATE,
            name=preview.identity.name,
            place=LAST_PLACE,
            state=FollowState.ACTIVE,
            book=book if joins else _fresh(book),
            ignored=ignored_on_join(book=book, mode=joins) if joins else {},
            basis_id=CANDIDATE,
        )
        cycle = CycleState.objects.select_related("portfolio").get(portfolio=portfolio)
        inputs = cycle_gather(cycle=cycle, world=world, now=now, candidate=candidate).inputs
        inputs = replace(inputs, markets=_markets(inputs, preview.positions))
    return feasibility_foresee(inputs=inputs, seek_capital=joins is None)


def _book(preview: TraderPreview, prices: Mapping[str, Decimal]) -> TraderBook:
    legs = [
        BasisLeg(
            code=position.code,
            quantity=position.quantity,
            mark_price=position.mark_price or prices.get(position.code, position.entry_price),
            entry_price=position.entry_price,
            opened_at=position.opened_at,
        )
        for position in preview.positions
    ]
    return book_at_marks(equity=preview.equity, legs=legs, marks=prices)


def _fresh(book: TraderBook) -> TraderBook:
    """Return a book as if opened now: at no price that could have run away, before nobody else's."""
    legs = {u: replace(leg, entry_price=None, opened_at=None) for u, leg in book.legs.items()}
    return replace(book, legs=legs)


def _markets(inputs: CopyInputs, positions: tuple[PreviewPosition, ...]) -> dict[str, Market]:
    """Return the markets, with the trader's own marks where a world that has just begun has none yet."""
    markets = dict(inputs.markets)
    missing: dict[str, PreviewPosition] = {}
    for position in positions:
        underlying, units = underlying_of(position.code)
        if underlying not in markets:
            missing.setdefault(position.code, position)
            if units == 1:  # WBTC is bought as BTC
                missing.setdefault(underlying, position)
    for row in Instrument.objects.filter(code__in=missing).order_by("code"):
        mark = missing[row.code].mark_price
        if mark is not None and row.underlying not in markets:
            markets[row.underlying] = Market(instrument=row.spec(), mark=mark)
    return markets
