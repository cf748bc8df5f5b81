"""The book of the exit watch equals looking at every position with every price, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from core.decimals import ONE
from engine.exits.book import Book
from engine.exits.watched import Tally, Watched
from markets.domain.moments import us_of
from markets.tape import Tick
from positions.domain.exits import (
    Exit,
    ExitKind,
    ExitPlan,
    ExitState,
    TakeProfitStep,
    exit_step,
    state_move,
    state_open,
)

D = Decimal
AT = datetime(2025, 11, 3, tzinfo=UTC)
KEY = ("replay:desk", 1, "BTC")
STEPS = (TakeProfitStep(D("0.5"), gain=D("0.02")), TakeProfitStep(ONE, gain=D("0.04")))

prices = st.integers(min_value=900, max_value=1100).map(lambda n: D(n) / 10 + D("0.000000000001") * (n % 3))
percents = st.sampled_from([None, D("0.005"), D("0.01"), D("0.02"), D("0.05")])
plans = st.builds(
    lambda stop, trail, steps, time_stop: ExitPlan(
        stop_loss=stop,
        trail_from=trail,
        trail_by=trail / 2 if trail else None,
        take_profit=steps,
        time_stop=time_stop,
    ),
    percents,
    percents,
    st.sampled_from([(), STEPS[:1], STEPS]),
    st.sampled_from([None, timedelta(seconds=20)]),
)


def row_of(number: int, plan: ExitPlan, sign: int, entry: Decimal, since_s: int = 0) -> Watched:
    state = state_open(plan=plan, sign=sign, entry_price=entry, price=entry, opened_at=AT)
    at = us_of(AT) + since_s * 1_000_000
    return Watched(number, number, KEY, 1, 1, state, since_us=at, levels_us=at)


def tick_of(second: int, price: Decimal) -> tuple[str, Tick]:
    at = us_of(AT) + second * 1_000_000
    return f"{at // 1000}-0", Tick(*KEY, price, at, at)


def one_by_one(row: Watched, ticks: list[tuple[str, Tick]]) -> tuple[list[Exit], ExitState]:
    """The plain way: every price against the rules, and a full take profit goes on to its stop."""
    state, found = row.state, []
    for _, tick in ticks:
        if tick.received_us <= row.since_us:
            continue
        after, hit = exit_step(state=state, price=tick.price, world_at=tick.quoted_at)
        if hit is None:
            state = after
            continue
        found.append(hit)
        if hit.fraction == ONE and hit.kind is not ExitKind.TAKE_PROFIT:
            break
        if hit.fraction == ONE:
            after = replace(
                state_move(state=state, price=tick.price), steps_done=len(row.state.plan.take_profit)
            )
        state = after
    return found, state


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(plans, st.sampled_from([1, -1]), prices, st.integers(0, 12)), min_size=1, max_size=8),
    st.lists(prices, min_size=1, max_size=40),
    st.sets(st.integers(0, 40)),
)
def test_it_equals_looking_one_by_one(
    positions: list[tuple[ExitPlan, int, Decimal, int]], path: list[Decimal], saves: set[int]
) -> None:
    """Same hits at the same prices, same levels left, whatever is saved and forgotten in between."""
    rows = [row_of(number, *values) for number, values in enumerate(positions)]
    ticks = [tick_of(second, price) for second, price in enumerate(path, start=1)]
    book = Book()
    for row in rows:
        book.put(replace(row), dirty=True)
    found: dict[int, list[Exit]] = {row.position_id: [] for row in rows}
    for number, (place, tick) in enumerate(ticks):
        for hit in book.look(tick=tick, place=place):
            found[hit.row.position_id].append(hit.found)
        if number in saves:
            for position_id in book.dirty():
                known = book.row(position_id)
                assert known is not None
                book.saved(row=known, place=place)
            assert book.dirty() == []
    for row in rows:
        wanted, state = one_by_one(row, ticks)
        assert found[row.position_id] == wanted
        left = book.row(row.position_id)
        ended = any(hit.fraction == ONE and hit.kind is not ExitKind.TAKE_PROFIT for hit in wanted)
        assert (left is None) == ended
        if left is not None:
            assert left.state == state


def test_a_price_that_can_trigger_nothing_touches_no_position() -> None:
    """Between the bounds only four numbers are compared."""
    book = Book()
    plan = ExitPlan(D("0.08"), D("0.12"), D("0.05"), (), None)
    for number in range(100):
        book.put(row_of(number, plan, 1, D(100)), dirty=False)
    assert book.look(tick=tick_of(1, D("99.5"))[1], place="1-0") == []
    assert book.dirty() == []
    book.look(tick=tick_of(2, D("100.5"))[1], place="2-0")
    assert len(book.dirty()) == 100  # the best price moved for all of them


def test_what_is_no_price_is_left_aside() -> None:
    book = Book()
    book.put(row_of(1, ExitPlan(D("0.08"), None, None, (), None), 1, D(100)), dirty=False)
    for price in ("0", "-1", "NaN", "Infinity"):
        assert book.look(tick=tick_of(1, D(price))[1], place="1-0") == []
    assert len(book.look(tick=tick_of(2, D("92"))[1], place="2-0")) == 1


def test_another_run_or_world_is_not_concerned() -> None:
    book = Book()
    book.put(row_of(1, ExitPlan(D("0.08"), None, None, (), None), 1, D(100)), dirty=False)
    at = us_of(AT) + 1_000_000
    for key in (("replay:desk", 2, "BTC"), ("live", 1, "BTC"), ("replay:desk", 1, "ETH")):
        assert book.look(tick=Tick(*key, D(1), at, at), place="1-0") == []


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5), st.booleans()), max_size=30))
def test_the_tally_tells_equal_books_from_others(steps: list[tuple[int, int, bool]]) -> None:
    """However it came about, a book's tally is that of what it watches now."""
    book, held = Book(), dict[int, int]()
    plan = ExitPlan(stop_loss=D("0.05"), trail_from=None, trail_by=None, take_profit=(), time_stop=None)
    for number, version, stays in steps:
        if stays:
            book.put(replace(row_of(number, plan, 1, D(100)), version=version), dirty=False)
            held[number] = version
        else:
            book.drop(number)
            held.pop(number, None)
    assert book.versions() == held
    assert book.tally == Tally(
        len(held), sum(held), sum(held.values()), sum(pk * version for pk, version in held.items())
    )
