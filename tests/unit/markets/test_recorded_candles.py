"""The world with real candles: recorded minutes, known at their time and never before (MKT-1, MKT-2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.candles import CANDLE_SPAN, Bar, Candle, candle_open_at, candles_aggregate
from markets.domain.prices import PriceSeries
from markets.minute_bars import BAR_SPAN, _bar, coinbase_bars_read
from markets.recordings import COINBASE_2018, recording_get
from markets.replay_feed import recording_candles
from markets.signal_candles import signal_candles, signals_barred

D = Decimal
FIRST, SECOND = datetime(2018, 4, 4, tzinfo=UTC), datetime(2018, 4, 5, tzinfo=UTC)
END = datetime(2018, 4, 6, tzinfo=UTC)
RECORDING = recording_get(name=COINBASE_2018)


def bar(minute: int, *prices: str, volume: str | None = "1") -> Bar:
    """Return a bar that begins some minutes into the first day: open, high, low, close."""
    traded = None if volume is None else D(volume)
    return Bar(FIRST + timedelta(minutes=minute), *map(D, prices), traded)


def test_five_minutes_make_a_candle() -> None:
    """First open, highest high, lowest low, last close, all the volume; no bar, no candle."""
    bars = [
        bar(1, "10", "12", "9", "11", volume="2"),
        bar(4, "11", "15", "11", "14", volume="0.5"),
        bar(5, "14", "14", "13", "13"),
        bar(16, "13", "13", "13", "13", volume=None),
        bar(17, "13", "13", "12", "12"),
    ]
    assert candles_aggregate(bars=bars) == [
        Candle(FIRST, D(10), D(15), D(9), D(14), D("2.5")),
        Candle(FIRST + CANDLE_SPAN, D(14), D(14), D(13), D(13), D(1)),
        Candle(FIRST + 3 * CANDLE_SPAN, D(13), D(13), D(12), D(12), None),
    ]
    assert candles_aggregate(bars=[]) == []


@given(at=st.datetimes(timezones=st.just(UTC)))
def test_a_moment_lies_in_its_candle(at: datetime) -> None:
    """Candles begin at multiples of five minutes."""
    opened_at = candle_open_at(at)
    assert opened_at <= at < opened_at + CANDLE_SPAN
    assert opened_at.timestamp() % 300 == 0


def test_the_recording_is_two_whole_days() -> None:
    """data/README.md: 4 April from quotes without volume, 5 April from trades; no five minutes missing."""
    assert (RECORDING.start_at, RECORDING.end_at) == (
        FIRST + timedelta(minutes=1),
        END + timedelta(minutes=20),
    )
    assert [row.spec.code for row in RECORDING.instruments] == ["BTC", "ETH"]
    for candles in RECORDING.candles.values():
        assert [candle.opened_at for candle in candles] == [FIRST + n * CANDLE_SPAN for n in range(576)]
        assert [candle.volume is None for candle in candles] == [True] * 288 + [False] * 288
        assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in candles)
    first, last = RECORDING.candles["BTC"][288], RECORDING.candles["BTC"][-1]
    assert (first.open, last.close) == (D("6791.68"), D("6785.85"))
    assert RECORDING.candles["BTC"][0].open == D("7424.905")  # between 7424.90 bid and 7424.91 asked


def test_volume_is_what_was_traded() -> None:
    """Nothing is lost on the way from minutes to candles."""
    for code, bars in coinbase_bars_read().items():
        traded = sum((one.volume or D(0) for one in bars), D(0))
        assert sum((one.volume or D(0) for one in RECORDING.candles[code]), D(0)) == traded > 0


@given(seconds=st.integers(60, 2 * 86400))
def test_a_price_is_the_last_close_known_then(seconds: int) -> None:
    """MKT-1: no interpolation and no look-ahead: a minute's close counts from the minute's end."""
    at = FIRST + timedelta(seconds=seconds)
    prices = RECORDING.prices_at(at)
    for code, bars in coinbase_bars_read().items():
        assert prices[code] == [one.close for one in bars if one.opened_at + BAR_SPAN <= at][-1]


def test_a_stepped_price_stays_until_the_next_one() -> None:
    """Beside the line that other recordings are drawn with."""
    points = [(FIRST, D(100)), (FIRST + timedelta(hours=1), D(110))]
    half = FIRST + timedelta(minutes=30)
    assert PriceSeries.from_points(points, stepped=True).price_at(half) == D(100)
    assert PriceSeries.from_points(points).price_at(half) == D(105)
    assert PriceSeries.from_points(points, stepped=True).price_at(points[1][0]) == D(110)


def test_closed_candles_alone_are_given() -> None:
    """MKT-2: a candle is there from its closing time on, not a microsecond earlier."""
    closed_at = SECOND + CANDLE_SPAN
    early = signal_candles(
        world=COINBASE_2018, code="BTC", before=closed_at - timedelta(microseconds=1), limit=2
    )
    assert [candle.closed_at for candle in early] == [SECOND - CANDLE_SPAN, SECOND]
    later = signal_candles(world=COINBASE_2018, code="BTC", before=closed_at, limit=2)
    assert [candle.closed_at for candle in later] == [SECOND, closed_at]
    assert signal_candles(world=COINBASE_2018, code="DOGE", before=END, limit=5) == []
    assert signal_candles(world=COINBASE_2018, code="BTC", before=FIRST, limit=5) == []


def test_the_feed_keeps_the_recorded_candles() -> None:
    """Each once, with its volume, as it closes; a recording of trades alone gives what it has."""
    kept: list[Candle] = []
    at = RECORDING.start_at
    while at < END:
        until = min(END, at + timedelta(minutes=7))
        found = recording_candles(recording=RECORDING, after=at, until=until)
        kept += [record.candle for code, record in found if code == "BTC" and record.closed]
        at = until
    assert tuple(kept) == RECORDING.candles["BTC"]
    arena = recording_get(name="replay:alpha_arena")
    rows = recording_candles(recording=arena, after=arena.start_at, until=arena.end_at)
    assert rows
    assert all(record.candle.volume is None for _, record in rows)


def test_a_signal_needs_a_world_that_does_not_look_ahead() -> None:
    """Live and recorded minutes are fit for signals, interpolated prices are not."""
    assert [signals_barred(world=world) for world in ("live", COINBASE_2018)] == ["", ""]
    assert "interpolated between recorded trades" in signals_barred(world="replay:hyperliquid_wallets")


def test_a_bar_of_another_shape_is_refused() -> None:
    """A file that changed is not read as something else."""
    with pytest.raises(ValueError, match="x: a bar has 3 columns, not 6 or 11"):
        _bar(FIRST, ["0", "1", "2"], "x")
