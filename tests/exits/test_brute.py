"""The plain check and the pure rules agree on every recorded price, with everyday and tight thresholds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.domain.moments import at_of, us_of
from markets.recordings import recording_get, recording_names
from positions.domain.exits import ExitPlan, ExitState, TakeProfitStep, exit_step, state_move, state_open
from tests.exits.brute import Course, Rules, Seen, course
from tests.exits.play import VARIANTS

START = datetime(2025, 10, 18, tzinfo=UTC)


def plan(rules: Rules) -> ExitPlan:
    hundred = D(100)
    return ExitPlan(
        stop_loss=rules.stop_pct / hundred or None,
        trail_from=rules.trail_from_pct / hundred or None,
        trail_by=rules.trail_by_pct / hundred or None,
        take_profit=tuple(TakeProfitStep(part / hundred, gain=gain / hundred) for gain, part in rules.steps),
        time_stop=timedelta(hours=float(rules.hours)) if rules.hours else None,
    )


def by_the_rules(
    *, rules: Rules, sign: int, entry: D, opened_us: int, prices: list[tuple[int, D]]
) -> tuple[list[Seen], ExitState]:
    """Follow a position with the product's rules, as a watch does."""
    state = state_open(
        plan=plan(rules), sign=sign, entry_price=entry, price=entry, opened_at=at_of(opened_us)
    )
    seen: list[Seen] = []
    for at, price in prices:
        before = state
        state, found = exit_step(state=state, price=price, world_at=at_of(at))
        if found is None:
            continue
        seen.append(Seen(found.kind.value, price, found.level, found.fraction, at))
        if found.kind.value != "take_profit":
            break
        if found.fraction == 1:
            moved = state_move(state=before, price=price)
            state = ExitState(
                plan=before.plan, sign=sign, entry_price=entry, opened_at=before.opened_at,
                peak_price=moved.peak_price, stop_price=moved.stop_price, trail_price=moved.trail_price,
                steps_done=len(rules.steps),
            )  # fmt: skip
    return seen, state


def agree(found: Course, seen: list[Seen], state: ExitState) -> None:
    assert seen == found.seen
    if not found.over:
        levels = (state.peak_price, state.stop_price, state.trail_price, state.steps_done)
        assert levels == (found.peak, found.stop, found.trail, found.steps_done)


@pytest.mark.parametrize("name", recording_names())
def test_every_recorded_price_with_every_threshold(name: str) -> None:
    """EXT-1, EXT-3: a position at each recorded price, both sides, every kind of rules: the same course."""
    found_kinds: set[str] = set()
    for series in recording_get(name=name).prices.values():
        prices = list(zip(series.times_us, series.prices, strict=True))
        for number, (opened_us, entry) in enumerate(prices):
            for sign in (1, -1):
                rules = VARIANTS[(number * 2 + (sign > 0)) % len(VARIANTS)]
                rest = prices[number + 1 :]
                found = course(rules=rules, sign=sign, entry=entry, opened_us=opened_us, prices=rest)
                seen, state = by_the_rules(
                    rules=rules, sign=sign, entry=entry, opened_us=opened_us, prices=rest
                )
                agree(found, seen, state)
                found_kinds |= {one.kind for one in found.seen}
    assert found_kinds >= {"stop_loss", "trailing", "take_profit", "time_stop"}


percents = st.sampled_from([D("0.5"), D(1), D("2.25"), D(3), D(8), D(12)])
steps = st.lists(
    st.tuples(percents, st.sampled_from([D(10), D("33.3"), D(50)])),
    max_size=4,
    unique_by=lambda step: step[0],
).map(lambda rows: tuple(sorted(rows)))
paths = st.lists(st.integers(-400, 400), max_size=60)


@given(
    rules=st.builds(
        Rules,
        stop_pct=percents | st.just(D(0)),
        trail_from_pct=percents,
        trail_by_pct=percents,
        steps=steps,
        hours=st.sampled_from([D(0), D(5), D(20)]),
    ),
    sign=st.sampled_from([1, -1]),
    entry=st.decimals("0.00001", "100000", places=6).filter(lambda price: price > 0),
    moves=paths,
)
@settings(max_examples=300, deadline=None)
def test_random_prices(rules: Rules, sign: int, entry: D, moves: list[int]) -> None:
    """EXT-1: the same on made-up prices, in steps of a ten-thousandth, jumps over several levels included."""
    opened_us = us_of(START)
    price, prices = entry, []
    for number, move in enumerate(moves, start=1):
        price = max(price * (1 + D(move) / 10_000), D("0.000000000001")).quantize(D("1e-12"))
        prices.append((opened_us + number * 3_600_000_000, price))
    found = course(rules=rules, sign=sign, entry=entry, opened_us=opened_us, prices=prices)
    seen, state = by_the_rules(rules=rules, sign=sign, entry=entry, opened_us=opened_us, prices=prices)
    agree(found, seen, state)


def test_worked_by_hand() -> None:
    """EXT-1: long at 100: 8 % stop, trails from 112 by 5 %; 120 is the best, 114 is hit, at 113 a gap."""
    rules = Rules(stop_pct=D(8), trail_from_pct=D(12), trail_by_pct=D(5))
    prices = [(1, D(93)), (2, D(112)), (3, D(120)), (4, D("114.01")), (5, D(113)), (6, D(50))]
    found = course(rules=rules, sign=1, entry=D(100), opened_us=0, prices=prices)
    assert found.seen == [Seen("trailing", D(113), D(114), D(1), 5)]
    short = course(rules=rules, sign=-1, entry=D(100), opened_us=0, prices=[(1, D(108)), (2, D(50))])
    assert short.seen == [Seen("stop_loss", D(108), D(108), D(1), 1)]
