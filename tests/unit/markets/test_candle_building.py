"""Candles out of prices, against plain counting: MKT-2."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from markets.candle_book import CandleBook
from markets.domain.candle_building import (
    SPAN_US,
    CandleRecord,
    candle_opened,
    candles_of_line,
    candles_recorded,
)
from markets.domain.candles import Candle, candle_open_at
from markets.domain.moments import at_of, us_of
from markets.domain.prices import PriceSeries

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOON_US = us_of(NOON)
Point = tuple[int, Decimal]

prices = st.decimals(min_value="0.000001", max_value="200000", places=6)
points = st.dictionaries(st.integers(0, 6 * SPAN_US), prices, min_size=1, max_size=60).map(
    lambda by_time: [(NOON_US + us, by_time[us]) for us in sorted(by_time)]
)


def counted(told: list[Point], until_us: int) -> list[CandleRecord]:
    """Return the candles by sorting prices into intervals."""
    intervals: dict[int, list[Point]] = defaultdict(list)
    for us, price in told:
        intervals[us // SPAN_US].append((us, price))
    return [
        CandleRecord(
            candle=Candle(
                opened_at=at_of(interval * SPAN_US),
                open=inside[0][1],
                high=max(price for _, price in inside),
                low=min(price for _, price in inside),
                close=inside[-1][1],
                volume=None,
            ),
            ticks=len(inside),
            last_us=inside[-1][0],
            closed=(interval + 1) * SPAN_US <= until_us,
        )
        for interval, inside in sorted(intervals.items())
    ]


@given(told=points)
def test_recorded_candles_are_what_counting_says(told: list[Point]) -> None:
    """Every price is in exactly one candle, and the last one is open until its five minutes are over."""
    until_us = told[-1][0]
    assert list(candles_recorded(told, until=at_of(until_us))) == counted(told, until_us)
    end_us = (until_us // SPAN_US + 1) * SPAN_US
    assert [record.closed for record in candles_recorded(told, until=at_of(end_us))] == [
        True for _ in counted(told, end_us)
    ]


@given(told=points, cut=st.integers(0, 6 * SPAN_US))
def test_what_is_closed_knows_nothing_of_the_future(told: list[Point], cut: int) -> None:
    """MKT-2: cutting off all that comes later changes no candle that was closed by then."""
    until_us = NOON_US + cut
    known = [point for point in told if point[0] <= until_us]
    then = [record for record in candles_recorded(known, until=at_of(until_us)) if record.closed]
    later = candles_recorded(told, until=at_of(NOON_US + 8 * SPAN_US))
    assert then == [record for record in later if record.ends_us <= until_us]


@given(told=points, flushes=st.lists(st.integers(1, 20), min_size=1), deaths=st.sets(st.integers(0, 59)))
def test_a_book_that_dies_anywhere_builds_the_same_candles(
    told: list[Point], flushes: list[int], deaths: set[int]
) -> None:
    """MKT-2: stored every few prices, begun anew from what is stored plus the whole tape, nothing is lost."""
    kept: dict[datetime, CandleRecord] = {}

    def begin(until: int) -> CandleBook:
        book = CandleBook()
        if kept:
            book.resume(records={"BTC": kept[max(kept)]})
        for us, price in told[:until]:  # the tape, from its beginning
            book.add(code="BTC", us=us, price=price)
        return book

    def store(book: CandleBook) -> None:
        pairs = [*book.closed(), *book.moved()]
        for _, record in pairs:
            before = kept.get(record.candle.opened_at)
            assert before is None or not before.closed or before == record, "a closed candle never changes"
            kept[record.candle.opened_at] = record
        book.stored(pairs)
        assert book.closed() == ()
        assert book.moved() == ()

    book = begin(0)
    due = flushes[0]
    for place, (us, price) in enumerate(told):
        book.add(code="BTC", us=us, price=price)
        due -= 1
        if place in deaths:
            book = begin(place + 1)
        elif due == 0:
            store(book)
            due = flushes[place % len(flushes)]
    end_us = NOON_US + 8 * SPAN_US
    book.time_reached(end_us)
    store(book)
    assert [kept[at] for at in sorted(kept)] == counted(told, end_us)


def test_a_price_on_the_stroke_opens_the_next_candle() -> None:
    """A candle covers from its opening to before the next one's."""
    told = [(NOON_US, Decimal(1)), (NOON_US + SPAN_US - 1, Decimal(2)), (NOON_US + SPAN_US, Decimal(3))]
    first, second = candles_recorded(told, until=NOON + timedelta(minutes=5))
    assert (first.candle.open, first.candle.close, first.closed) == (1, 2, True)
    assert (second.candle.opened_at, second.closed) == (NOON + timedelta(minutes=5), False)
    assert candle_open_at(NOON + timedelta(minutes=4, seconds=59)) == NOON


def test_time_alone_closes_a_candle_and_a_late_price_does_not_open_it_again() -> None:
    """Once the world is past its end, nothing moves it."""
    book = CandleBook()
    book.add(code="BTC", us=NOON_US, price=Decimal(7))
    book.time_reached(NOON_US + SPAN_US - 1)
    assert book.closed() == ()
    book.time_reached(NOON_US + SPAN_US)
    book.add(code="BTC", us=NOON_US + 5, price=Decimal(9))
    closed = candle_opened(us=NOON_US, price=Decimal(7))
    assert [(code, record.candle, record.closed) for code, record in book.closed()] == [
        ("BTC", closed.candle, True)
    ]
    assert book.moved() == ()


def test_what_was_not_stored_is_given_out_again() -> None:
    """A database that is away for one flush costs no candle."""
    book = CandleBook()
    book.add(code="BTC", us=NOON_US, price=Decimal(7))
    first = book.moved()
    assert book.moved() == first
    book.add(code="BTC", us=NOON_US + 1, price=Decimal(8))
    book.stored(first)  # the older state: the newer one is still to be stored
    assert [record.candle.close for _, record in book.moved()] == [8]


def test_the_line_that_marks_follow_as_candles() -> None:
    """From 100 at noon to 130 at 12:15: ten a candle, the last one as far as the time has come."""
    series = PriceSeries.from_points([(NOON, Decimal(100)), (NOON + timedelta(minutes=15), Decimal(130))])
    drawn = candles_of_line(series, until=NOON + timedelta(minutes=12), count=10)
    assert [candle.opened_at for candle in drawn] == [
        NOON + timedelta(minutes=5 * place) for place in range(3)
    ]
    assert [(candle.open, candle.high, candle.low, candle.close) for candle in drawn[1:]] == [
        (110, 120, 110, 120),  # closes a microsecond before 12:10: 120 to nine digits
        (120, 124, 120, 124),
    ]
