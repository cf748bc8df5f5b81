"""Advancing the books of strategies: every closed candle once, its signal kept with the reason.

Whoever wants a book up to date calls in: the task of every second, and each read of the trader before it. An
advance reads the book, decides without touching anything, and stores with one conditional UPDATE on the
book's version; who comes second stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog
from django.db import transaction
from django.db.models import F

from core.clock import WorldTime
from core.decimals import ZERO
from core.errors import EnsembleError
from core.instruments import Instrument as InstrumentSpec
from core.types import TraderKind
from markets.domain.candles import CANDLE_SPAN, Candle, candle_open_at, candles_unbroken
from markets.models import Instrument, World
from markets.signal_candles import signal_candles, signals_barred
from traders.domain.signals import Execution, Signal, SignalSide
from traders.domain.strategy_book import Book, BookLeg, BookNote, book_drop, book_step
from traders.models import StrategyBook, StrategyLeg, StrategySignal, Trader
from traders.strategies.base import WINDOW
from traders.strategies.pairs import PairSet, pair_set_get

log = structlog.get_logger(__name__)
DECIDED_BACK: Final = 600 * CANDLE_SPAN  # after an absence that was longer, only the last 50 h are decided
LONGEST_HOLE: Final = timedelta(hours=1)  # a strategy sees nothing from before a longer one


@dataclass(frozen=True, slots=True)
class BookState:
    """A book as it stands in the current run of its world; ``version`` is None while it is not stored."""

    book: Book
    run: int
    started_at: datetime
    version: int | None


def strategies_advance(*, now: datetime) -> list[int]:
    """Advance the book of every strategy that is followed; return the ids of traders whose holdings changed.

    One that cannot be advanced is logged, and its own read tells its followers; the others go on.
    """
    changed = []
    traders = Trader.objects.filter(kind=TraderKind.STRATEGY).exclude(status=Trader.Status.PAUSED)
    clocks = {world.name: world.clock() for world in World.objects.filter(name__in=traders.values("world"))}
    for trader in traders.order_by("pk"):
        if trader.world not in clocks:
            continue
        try:
            before, after = _advance(trader, clocks[trader.world], now)
        except EnsembleError as error:
            log.warning("strategy_not_advanced", trader=trader.key, error=str(error))
        except Exception:  # a strategy may be anybody's code
            log.exception("strategy_fault", trader=trader.key)
        else:
            if _quantities(before.book) != _quantities(after.book):
                changed.append(trader.pk)
    return changed


def book_advance(*, trader: Trader, clock: WorldTime, now: datetime) -> BookState:
    """Bring a strategy's book up to the last candle closed at wall time ``now``; return it.

    Safe to call any number of times, from anywhere. Where another call stored first, the book is the one that
    it stored.

    :raises InputError: its strategy or set of pairs is no longer there
    """
    return _advance(trader, clock, now)[1]


def book_preview(*, pair_set: PairSet, clock: WorldTime, now: datetime) -> BookState:
    """Return the book that a strategy nobody has followed yet would begin with; nothing is stored.

    In a replay that is its book since the start of the run; in the live world it begins empty.
    """
    trader = Trader(kind=TraderKind.STRATEGY, key=pair_set.key, world=pair_set.world)
    state = _fresh(trader, clock, now)
    book, _ = _decide(pair_set, state, clock=clock, now=now)
    return BookState(book, state.run, state.started_at, None)


def _advance(trader: Trader, clock: WorldTime, now: datetime) -> tuple[BookState, BookState]:
    """Advance a book; return it as it was read and as it is now."""
    pair_set = pair_set_get(key=trader.key)
    state = _state_of(trader, clock, now)
    book, notes = _decide(pair_set, state, clock=clock, now=now)
    if book == state.book and state.version is not None:
        return state, state
    if not _store(trader, state, book=book, notes=notes, now=now):
        return state, _state_of(trader, clock, now)
    return state, BookState(book, state.run, state.started_at, (state.version or 0) + 1)


def _state_of(trader: Trader, clock: WorldTime, now: datetime) -> BookState:
    stored = StrategyBook.objects.filter(trader=trader).prefetch_related("legs").first()
    if stored is None:
        return _fresh(trader, clock, now)
    if stored.run != clock.run:
        return _fresh(trader, clock, now, version=stored.version)
    legs = {
        leg.code: BookLeg(leg.reached_at, leg.price, leg.quantity, leg.entry_price, leg.opened_at)
        for leg in stored.legs.all()
    }
    return BookState(Book(stored.cash, legs), stored.run, stored.started_at, stored.version)


def _fresh(trader: Trader, clock: WorldTime, now: datetime, version: int | None = None) -> BookState:
    """Return a book that has not begun: from the start of a replay's run, from now on in the live world."""
    start = World.objects.filter(name=trader.world).exclude(world_end_at=None).values_list("world_start_at")
    began = start.first()
    return BookState(Book(), clock.run, clock.at(now) if began is None else began[0], version)


def _decide(
    pair_set: PairSet, state: BookState, *, clock: WorldTime, now: datetime
) -> tuple[Book, list[BookNote]]:
    """Carry out the signals of all candles that closed since the book was advanced, in the order of time."""
    book = state.book
    notes: list[BookNote] = []
    for code in [code for code in book.legs if code not in pair_set.pairs]:
        book, note = book_drop(book=book, code=code, at=clock.at(now))
        notes += [note] if note else []
    new = {code: BookLeg(reached_at=state.started_at) for code in pair_set.pairs if code not in book.legs}
    book = Book(book.cash, {**book.legs, **new})
    if barred := signals_barred(world=pair_set.world):
        return book, notes + [_barred_note(code, state.started_at, barred) for code in new]
    specs = {row.code: row.spec() for row in Instrument.objects.filter(code__in=pair_set.pairs)}
    due = _due(book, specs, world=pair_set.world, world_at=clock.at(now))
    for closed_at, code, window in sorted(due, key=lambda candle: candle[:2]):
        seen = candles_unbroken(candles=window, longest_hole=LONGEST_HOLE)
        signal = pair_set.strategy.decide(seen, pair_set.pairs[code])
        book, note = book_step(
            book=book,
            instrument=specs[code],
            signal=signal,
            close=window[-1].close,
            closed_at=closed_at,
            share=pair_set.share,
        )
        notes.append(note)
    return book, notes


def _due(
    book: Book, specs: Mapping[str, InstrumentSpec], *, world: str, world_at: datetime
) -> list[tuple[datetime, str, list[Candle]]]:
    """Return what is to be decided: when a candle closed, its instrument, and it with those before it."""
    due = []
    for code in specs:
        after_at = max(book.legs[code].reached_at, world_at - DECIDED_BACK)
        if candle_open_at(world_at) <= after_at:
            continue  # none can have closed since
        spans = (world_at - after_at) // CANDLE_SPAN + 1
        candles = signal_candles(world=world, code=code, before=world_at, limit=spans + WINDOW - 1)
        for place, candle in enumerate(candles):
            if candle.closed_at > after_at:
                window = candles[max(0, place - WINDOW + 1) : place + 1]
                due.append((candle.closed_at, code, window))
    return due


def _barred_note(code: str, at: datetime, reason: str) -> BookNote:
    return BookNote(at, code, Signal(SignalSide.HOLD, reason), None, Execution(ZERO, "nothing to do"))


@transaction.atomic
def _store(trader: Trader, state: BookState, *, book: Book, notes: Iterable[BookNote], now: datetime) -> bool:
    """Store an advance if the book is still as it was read; tell whether it was."""
    columns = {"run": state.run, "started_at": state.started_at, "cash": book.cash}
    if state.version is None:
        _, created = StrategyBook.objects.get_or_create(trader=trader, defaults=columns)
        if not created:
            return False
    else:
        mine = StrategyBook.objects.filter(trader=trader, version=state.version)
        if not mine.update(version=F("version") + 1, **columns):
            return False
    StrategySignal.objects.filter(trader=trader).exclude(run=state.run).delete()
    StrategyLeg.objects.filter(book_id=trader.pk).exclude(code__in=book.legs).delete()
    StrategyLeg.objects.bulk_create(
        (_leg_row(trader, code, leg) for code, leg in sorted(book.legs.items())),
        update_conflicts=True,
        unique_fields=["book", "code"],
        update_fields=["reached_at", "price", "quantity", "entry_price", "opened_at"],
    )
    StrategySignal.objects.bulk_create(_signal_row(trader, state.run, note, now) for note in notes)
    return True


def _leg_row(trader: Trader, code: str, leg: BookLeg) -> StrategyLeg:
    return StrategyLeg(
        book_id=trader.pk,
        code=code,
        reached_at=leg.reached_at,
        price=leg.price,
        quantity=leg.quantity,
        entry_price=leg.entry_price,
        opened_at=leg.opened_at,
    )


def _signal_row(trader: Trader, run: int, note: BookNote, now: datetime) -> StrategySignal:
    return StrategySignal(
        trader=trader,
        run=run,
        at=note.at,
        received_at=now,
        code=note.code,
        side=note.signal.side.value,
        reason=note.signal.reason[:500],
        readings=dict(note.signal.readings),
        price=note.price,
        quantity=note.execution.quantity,
        outcome=note.execution.reason[:200],
    )


def _quantities(book: Book) -> dict[str, Decimal]:
    return {code: leg.quantity for code, leg in book.legs.items() if leg.quantity}
