"""A strategy in the live world: it starts when followed, and waits for the venue's own candle (MKT-2)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from engine.syncing import strategies_run
from markets.candle_store import candles_write
from markets.domain.candle_building import CandleRecord
from markets.domain.candles import CANDLE_SPAN, Candle
from markets.domain.moments import us_of
from markets.models import LIVE, CandleSource, World
from markets.recordings import COINBASE_2018, recording_get
from markets.selectors import world_get
from markets.services import instruments_ensure
from markets.signal_candles import SETTLES, signal_candles
from tests.integration.sync.conftest import StillClock
from traders.models import StrategyBook, StrategySignal, Trader
from traders.selectors import trader_read_latest
from traders.services import trader_find_or_create, trader_preview
from traders.sync import sync_due

pytestmark = pytest.mark.django_db(transaction=True)

D = Decimal
KEY = "rsi_macd_vwap:majors"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SHIFT = NOON - datetime(2018, 4, 5, 12, 0, tzinfo=UTC)


def shifted(code: str, *, after: datetime, until: datetime) -> list[Candle]:
    """Return recorded candles as if they were of today, those that close in (after, until]."""
    candles = (
        replace(one, opened_at=one.opened_at + SHIFT)
        for one in recording_get(name=COINBASE_2018).candles[code]
    )
    return [candle for candle in candles if after < candle.closed_at <= until]


def keep(
    world: World, code: str, candles: list[Candle], *, source: CandleSource = CandleSource.VENUE
) -> None:
    """Store closed candles, without their volume where they are built from marks."""
    if source is CandleSource.MARKS:
        candles = [replace(candle, volume=None) for candle in candles]
    records = [
        (code, CandleRecord(candle=one, ticks=9, last_us=us_of(one.closed_at) - 1, closed=True))
        for one in candles
    ]
    candles_write(world=world, records=records, source=source)


@pytest.fixture
def trader() -> Trader:
    """A strategy followed at noon, after a night and a morning of candles of BTC and ETH."""
    instruments_ensure(instruments=recording_get(name=COINBASE_2018).instruments)
    made = trader_find_or_create(kind="strategy", key=KEY, now=NOON)
    for code in ("BTC", "ETH"):
        keep(world_get(name=LIVE), code, shifted(code, after=NOON - timedelta(days=2), until=NOON))
    return made


def test_it_starts_empty_and_decides_what_closes_from_then_on(trader: Trader, still: StillClock) -> None:
    """FOL-3: history is looked at, not traded. An instrument without candles or rules just waits."""
    assert trader.world == LIVE
    assert strategies_run(now=NOON) == []
    assert (StrategyBook.objects.get().started_at, StrategySignal.objects.count()) == (NOON, 0)
    later = NOON + timedelta(hours=2)
    for code in ("BTC", "ETH"):
        keep(world_get(name=LIVE), code, shifted(code, after=NOON, until=later))
    strategies_run(now=later)
    rows = StrategySignal.objects.order_by("at", "code")
    assert [(row.at, row.code) for row in rows] == [
        (NOON + n * CANDLE_SPAN, code) for n in range(1, 25) for code in ("BTC", "ETH")
    ]
    first = rows.first()
    assert first is not None
    assert all(value is not None for value in first.readings.values())  # the whole day is behind it
    assert sync_due(now=later, clock=StillClock(later)).synced_ids == [trader.pk]
    trader.refresh_from_db()
    read = trader_read_latest(trader=trader)
    assert read is not None
    book = StrategyBook.objects.get()
    legs = {leg.code: leg for leg in book.legs.filter(quantity__gt=0)}
    worth = sum(leg.quantity * leg.price for leg in legs.values() if leg.price)
    assert read.quantities() == {code: leg.quantity for code, leg in legs.items()}
    assert read.equity == (book.cash + worth).quantize(D("0.00000001"))  # without marks: at the last closes


def test_the_venues_candle_is_waited_for(trader: Trader) -> None:
    """MKT-2: VWAP needs the volume, which comes a few seconds late; after a minute it goes without."""
    strategies_run(now=NOON)
    live, closed_at = world_get(name=LIVE), NOON + CANDLE_SPAN
    for code in ("BTC", "ETH"):
        keep(live, code, shifted(code, after=NOON, until=closed_at), source=CandleSource.MARKS)
    strategies_run(now=closed_at + timedelta(seconds=5))
    assert not StrategySignal.objects.exists()
    keep(live, "BTC", shifted("BTC", after=NOON, until=closed_at))
    strategies_run(now=closed_at + timedelta(seconds=10))
    (signal,) = StrategySignal.objects.all()
    assert (signal.code, signal.at, signal.readings["vwap"] is None) == ("BTC", closed_at, False)
    strategies_run(now=closed_at + SETTLES - timedelta(microseconds=1))
    assert StrategySignal.objects.count() == 1
    strategies_run(now=closed_at + SETTLES)
    late = StrategySignal.objects.get(code="ETH")
    assert (late.at, late.readings["vwap"]) == (closed_at, None)
    assert "VWAP cannot tell: the candles carry no volume" in late.reason
    keep(live, "ETH", shifted("ETH", after=NOON, until=closed_at))
    strategies_run(now=closed_at + SETTLES + timedelta(seconds=1))
    assert StrategySignal.objects.count() == 2  # decided once, whatever comes later


def test_what_waits_holds_back_what_follows(trader: Trader) -> None:
    """The order of time is kept: nothing later is given while one is waited for."""
    live, end = world_get(name=LIVE), NOON + 3 * CANDLE_SPAN
    candles = shifted("BTC", after=NOON, until=end)
    keep(live, "BTC", candles[:1])
    keep(live, "BTC", candles[1:], source=CandleSource.MARKS)
    given = signal_candles(world=LIVE, code="BTC", before=end, limit=2)
    assert [candle.closed_at for candle in given] == [candles[1].closed_at]
    given = signal_candles(world=LIVE, code="BTC", before=end + SETTLES, limit=2)
    assert [candle.closed_at for candle in given] == [candles[1].closed_at, end]


def test_after_a_long_absence_the_last_fifty_hours_are_decided(trader: Trader) -> None:
    """A strategy nobody followed for a month does not trade that month now; what it held it still holds."""
    strategies_run(now=NOON)
    StrategyBook.objects.get().legs.update(
        reached_at=NOON - timedelta(days=30), quantity=1, entry_price=1, opened_at=NOON - timedelta(days=31)
    )
    strategies_run(now=NOON)
    assert StrategySignal.objects.earliest("at").at > NOON - timedelta(hours=50)
    assert StrategySignal.objects.filter(code="BTC").count() == 12 * 36  # what of it is recorded


def test_a_live_preview_is_an_empty_book(trader: Trader) -> None:
    """FOL-1: it begins when it is first followed."""
    preview = trader_preview(kind="strategy", key=KEY, now=NOON)
    assert (preview.equity, preview.positions) == (D(10000), ())
    assert [(pnl.label, pnl.amount) for pnl in preview.recent_pnl] == [("Since it was first followed", D(0))]


def test_between_two_candles_nothing_is_read(trader: Trader) -> None:
    """The task of every second costs a few small statements while no candle can have closed."""
    strategies_run(now=NOON)
    with CaptureQueriesContext(connection) as queries:
        strategies_run(now=NOON + CANDLE_SPAN - timedelta(microseconds=1))
    assert not [query for query in queries if "markets_candle" in query["sql"]]
    assert len(queries) <= 7
