"""The source of strategies: the virtual book that a built-in strategy trades, as it stands now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import structlog

from core.clock import WorldTime
from core.decimals import ZERO, to_money
from core.errors import EnsembleError, RetryLater
from core.types import TraderKind
from markets.models import Mark
from traders.domain.reads import (
    FailureKind,
    ReadFailure,
    ReadResult,
    RecentPnl,
    TraderPosition,
    TraderRead,
)
from traders.domain.strategy_book import START_CASH, Book
from traders.models import Trader
from traders.sources.base import SourceHistory
from traders.strategies.pairs import pair_set_get
from traders.strategy_books import BookState, book_advance, book_preview

log = structlog.get_logger(__name__)


class StrategySource:
    """Reads the books of strategies; exact and free."""

    max_batch = 1000
    authoritative = True
    networked = False

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], TraderRead | ReadFailure] = {}  # by world and key

    def prepare(self, keys: Sequence[str], *, clock: WorldTime, now: datetime) -> None:
        """Bring the books up to date and keep them for the reads that follow; each fails by itself."""
        rows = Trader.objects.filter(kind=TraderKind.STRATEGY, key__in=keys, world=clock.world, owner=None)
        known = {trader.key: trader for trader in rows}
        self._found |= {
            (clock.world, key): self._look(key, known.get(key), clock=clock, now=now) for key in keys
        }

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Return equity and holdings of each book that was prepared."""
        return [_result(key, self._found[clock.world, key], now) for key in keys]

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return what the book has won or lost since it began.

        :raises RetryLater: there is no book
        """
        found = self._found[clock.world, key]
        if isinstance(found, ReadFailure):
            raise RetryLater(found.reason)
        began = "Since it was first followed" if clock.world_end_at is None else "Since the start of the run"
        return SourceHistory(
            recent_pnl=(RecentPnl(label=began, amount=found.equity - START_CASH),), ever_traded=True
        )

    async def close(self) -> None:
        """Nothing to give back."""

    def _look(
        self, key: str, trader: Trader | None, *, clock: WorldTime, now: datetime
    ) -> TraderRead | ReadFailure:
        try:
            pair_set = pair_set_get(key=key)
            if pair_set.world != clock.world:
                reason = f"the file of strategies puts {key} into {pair_set.world}, not into {clock.world}"
                return ReadFailure(FailureKind.FAILED, reason)
            if trader is None:
                return _read(book_preview(pair_set=pair_set, clock=clock, now=now), clock, now)
            return _read(book_advance(trader=trader, clock=clock, now=now), clock, now)
        except EnsembleError as error:
            return ReadFailure(FailureKind.FAILED, str(error))
        except Exception as error:
            log.exception("strategy_fault", trader=key)
            return ReadFailure(FailureKind.FAILED, f"fault in the strategy: {type(error).__name__}: {error}")


def _result(key: str, found: TraderRead | ReadFailure, now: datetime) -> ReadResult:
    if isinstance(found, ReadFailure):
        return ReadResult(key=key, asked_at=now, failure=found)
    return ReadResult(key=key, asked_at=now, read=found)


def _read(state: BookState, clock: WorldTime, now: datetime) -> TraderRead:
    """Value the book at the marks of its world, at its last closes where there is none."""
    book = state.book
    marks = _marks(clock, book)
    held = {code: leg for code, leg in sorted(book.legs.items()) if leg.quantity}
    valued = Book(book.cash, {c: replace(leg, price=marks.get(c, leg.price)) for c, leg in held.items()})
    positions = tuple(
        TraderPosition(
            code=code,
            quantity=leg.quantity,
            entry_price=leg.entry_price or ZERO,
            mark_price=leg.price,
            opened_at=leg.opened_at,
        )
        for code, leg in valued.legs.items()
    )
    return TraderRead(
        equity=to_money(valued.equity), positions=positions, world_at=clock.at(now), run=clock.run
    )


def _marks(clock: WorldTime, book: Book) -> Mapping[str, Decimal]:
    rows = Mark.objects.filter(world_id=clock.world, run=clock.run, instrument_id__in=book.legs)
    return dict(rows.values_list("instrument_id", "price"))
