"""Back-fills live candles from the venue: history when an instrument is first wanted, then each closed one.

The venue's own candle knows every trade and the volume, so it takes the place of one built from prices, and
fills the gap where the feed was down. One instrument is asked about at a time, every few seconds, so that
at most a third of the shared request budget goes here. Source: Hyperliquid docs, "Candle snapshot" (weight
20, and 1 more per 60 candles; the newest 5,000 are available).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from core.clock import Clock
from core.decimals import ZERO
from core.errors import EnsembleError
from markets.candle_book import CodeRecord
from markets.candle_store import candles_write
from markets.domain.allowance import BudgetPriority
from markets.domain.candle_building import SPAN_US, CandleRecord
from markets.domain.candles import CANDLE_SPAN, Candle, candle_open_at
from markets.domain.moments import at_of, us_of
from markets.domain.plausible import price_usable
from markets.hyperliquid import InfoClient
from markets.models import CandleSource, World

log = structlog.get_logger(__name__)
HISTORY: Final = 500  # candles, some 42 hours: what the slowest indicator and the chart look back over
ASKED_EVERY_S: Final = 4.0
ASKED_AGAIN_S: Final = 30.0  # after a failure
SETTLES: Final = timedelta(seconds=3)  # so long after its end the venue's candle is complete
WAIT_S: Final = 0.5  # longest wait for room in the budget: prices and traders come first
_WEIGHT: Final = 20
_ROWS_A_WEIGHT: Final = 60
_SPAN_MS: Final = SPAN_US // 1000


class VenueCandle(msgspec.Struct, frozen=True):
    """One row of a ``candleSnapshot`` answer; times are the first and last millisecond it covers."""

    opened_ms: int = msgspec.field(name="t")
    last_ms: int = msgspec.field(name="T")
    code: str = msgspec.field(name="s")
    interval: str = msgspec.field(name="i")
    open: Decimal = msgspec.field(name="o")
    high: Decimal = msgspec.field(name="h")
    low: Decimal = msgspec.field(name="l")
    close: Decimal = msgspec.field(name="c")
    volume: Decimal = msgspec.field(name="v")
    trades: int = msgspec.field(name="n")


class CandleRepair:
    """Asks the venue for what it has not been asked about since this feed began."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked_until: dict[str, datetime] = {}
        self._next_s = float("-inf")

    def step(
        self, *, world: World, codes: Collection[str], client: InfoClient, runner: asyncio.Runner
    ) -> str | None:
        """Ask about one instrument whose closed candles the venue was not asked for, if it is time.

        Fresh ones come before history. Returns the code that was asked about. What fails is logged and asked
        again later; candles from prices stand meanwhile.
        """
        until = candle_open_at(self._clock.now() - SETTLES)
        code = self._due(codes, until)
        if code is None or self._clock.monotonic_s() < self._next_s:
            return None
        after = self._asked_until.get(code, until - CANDLE_SPAN * HISTORY)
        self._next_s = self._clock.monotonic_s() + ASKED_EVERY_S
        try:
            rows = runner.run(snapshot_ask(client=client, code=code, after=after, until=until))
        except EnsembleError as error:
            self._next_s = self._clock.monotonic_s() + ASKED_AGAIN_S
            log.warning("candles_unavailable", code=code, error=str(error))
            return None
        records = records_from(rows, code=code, after=after, until=until)
        candles_write(world=world, records=records, source=CandleSource.VENUE)
        self._asked_until[code] = until
        return code

    def _due(self, codes: Collection[str], until: datetime) -> str | None:
        asked = self._asked_until
        fresh = sorted((asked[code], code) for code in codes if code in asked and asked[code] < until)
        return fresh[0][1] if fresh else min((code for code in codes if code not in asked), default=None)


async def snapshot_ask(
    *, client: InfoClient, code: str, after: datetime, until: datetime
) -> tuple[VenueCandle, ...]:
    """Ask for the candles that opened at ``after`` or later and were closed at ``until``.

    :raises EnsembleError: no room in the budget, no answer, or none that can be read
    """
    start_ms, end_ms = us_of(after) // 1000, us_of(until) // 1000 - 1
    count = (end_ms - start_ms) // _SPAN_MS + 1
    request = {
        "type": "candleSnapshot",
        "req": {"coin": code, "interval": "5m", "startTime": start_ms, "endTime": end_ms},
    }
    weight = _WEIGHT + -(-count // _ROWS_A_WEIGHT)
    rows: tuple[VenueCandle, ...] = await client.ask(
        request,
        tuple[VenueCandle, ...],
        max_wait_s=WAIT_S,
        weight=weight,
        priority=BudgetPriority.PREVIEW,
    )
    return rows


def records_from(
    rows: Iterable[VenueCandle], *, code: str, after: datetime, until: datetime
) -> list[CodeRecord]:
    """Return the closed candles of an answer; rows that cannot be are left out and logged."""
    first_ms, end_ms = us_of(after) // 1000, us_of(until) // 1000
    records: dict[int, CodeRecord] = {}
    for row in rows:
        if not first_ms <= row.opened_ms or row.opened_ms + _SPAN_MS > end_ms:
            continue  # the one under way comes along
        if not _sound(row, code):
            log.warning("candle_refused", code=code, row=str(row))
            continue
        records[row.opened_ms] = (code, _record(row))
    return list(records.values())


def _sound(row: VenueCandle, code: str) -> bool:
    prices = (row.open, row.high, row.low, row.close)
    return (
        row.code == code
        and row.interval == "5m"
        and row.opened_ms % _SPAN_MS == 0
        and all(price_usable(price) for price in prices)
        and row.low == min(prices)
        and row.high == max(prices)
        and row.volume.is_finite()
        and row.volume >= ZERO
        and row.trades >= 0
    )


def _record(row: VenueCandle) -> CandleRecord:
    opened_us = row.opened_ms * 1000
    candle = Candle(
        opened_at=at_of(opened_us),
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
    )
    return CandleRecord(candle=candle, ticks=row.trades, last_us=opened_us + SPAN_US - 1, closed=True)
