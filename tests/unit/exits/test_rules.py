"""EXT-1: each exit rule by hand, for longs and for shorts, to the last decimal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from positions.domain.exits import (
    Exit,
    ExitKind,
    ExitPlan,
    ExitState,
    TakeProfitStep,
    exit_step,
    state_enlarge,
    state_move,
    state_open,
)

D = Decimal
OPENED = datetime(2025, 10, 18, tzinfo=UTC)
SHIPPED = ExitPlan(
    stop_loss=D("0.08"),
    trail_from=D("0.12"),
    trail_by=D("0.05"),
    take_profit=(),
    time_stop=timedelta(days=14),
)
NOTHING = ExitPlan(stop_loss=None, trail_from=None, trail_by=None, take_profit=(), time_stop=None)


def opened(plan: ExitPlan = SHIPPED, *, sign: int = 1, entry: str = "100") -> ExitState:
    return state_open(plan=plan, sign=sign, entry_price=D(entry), price=D(entry), opened_at=OPENED)


def walk(state: ExitState, *prices: str, days: float = 1) -> tuple[ExitState, Exit | None]:
    """Show prices to a state until one closes all of the position; return it and the last exit."""
    found = None
    for price in prices:
        state, exit_ = exit_step(state=state, price=D(price), world_at=OPENED + timedelta(days=days))
        found = exit_ or found
        if exit_ is not None and exit_.fraction == 1:
            break
    return state, found


# ---------------------------------------------------------------- stop loss
@pytest.mark.parametrize(
    ("sign", "before", "at", "beyond"),
    [(1, "92.000000000001", "92", "91.99"), (-1, "107.999999999999", "108", "108.01")],
)
def test_a_stop_loss_is_hit_at_its_price_and_beyond(sign: int, before: str, at: str, beyond: str) -> None:
    """EXT-1: 8 % of 100: a long at 92, a short at 108; not a trillionth earlier."""
    state = opened(sign=sign)
    assert walk(state, before)[1] is None
    for price in (at, beyond):
        assert walk(state, price)[1] == Exit(ExitKind.STOP_LOSS, price=D(price), level=D(at))


def test_a_gap_through_the_stop_exits_at_the_first_price_seen() -> None:
    """EXT-3: the price that is seen is told beside the level that was jumped over."""
    assert walk(opened(), "99", "60", "95")[1] == Exit(ExitKind.STOP_LOSS, price=D(60), level=D(92))
    assert walk(opened(sign=-1), "101", "180")[1] == Exit(ExitKind.STOP_LOSS, price=D(180), level=D(108))


def test_levels_are_rounded_once_to_twelve_places() -> None:
    """EXT-1: half to even at the twelfth place, from the exact product of entry and distance."""
    state = opened(entry="0.000012345678")
    assert state.stop_price == D("0.000011358024")  # 0.000012345678 × 0.92 = 0.00001135802376
    big = opened(entry="9999999999999999.123456789012")
    assert big.stop_price == D("9199999999999999.193580245891")  # …245891.04 before rounding
    assert opened(entry="0.000012345678", sign=-1).stop_price == D("0.000013333332")  # …33233224


# ---------------------------------------------------------------- trailing
def test_a_trailing_stop_waits_for_its_gain_and_follows_the_best_price() -> None:
    """EXT-1: from +12 %, 5 % below the highest price since; the stop loss stands until then."""
    state, found = walk(opened(), "111.999999999999")
    assert (found, state.trail_price, state.activation_price) == (None, None, D(112))
    state, found = walk(state, "112")
    assert (found, state.trail_price, state.peak_price) == (None, D("106.4"), D(112))
    assert (state.activation_price, state.protective_price) == (None, D("106.4"))
    state, found = walk(state, "130", "125", "123.5001")
    assert (found, state.trail_price, state.peak_price) == (None, D("123.5"), D(130))
    assert walk(state, "123.5")[1] == Exit(ExitKind.TRAILING, price=D("123.5"), level=D("123.5"))
    assert walk(state, "91")[1] == Exit(ExitKind.TRAILING, price=D(91), level=D("123.5"))


def test_a_shorts_trailing_stop_follows_the_lowest_price() -> None:
    """EXT-1: mirrored: active from 88, 5 % above the lowest price since."""
    state, found = walk(opened(sign=-1), "88.000000000001")
    assert (found, state.trail_price, state.activation_price) == (None, None, D(88))
    state, found = walk(state, "80", "83.999")
    assert (found, state.trail_price, state.peak_price, state.stop_price) == (None, D(84), D(80), D(108))
    assert walk(state, "84")[1] == Exit(ExitKind.TRAILING, price=D(84), level=D(84))


def test_the_peak_counts_from_the_activation() -> None:
    """EXT-1: a gap to +30 % starts behind that price, and a price never raises the stop that it hits."""
    state, found = walk(opened(), "130")
    assert (found, state.trail_price) == (None, D("123.5"))
    state, found = walk(state, "100")
    assert found == Exit(ExitKind.TRAILING, price=D(100), level=D("123.5"))
    assert (state.peak_price, state.trail_price) == (D(130), D("123.5"))


def test_the_tighter_of_two_stops_counts_and_names_the_exit() -> None:
    """EXT-1: a trailing stop that begins below the stop loss closes nothing the stop loss would not."""
    wide = replace(SHIPPED, trail_from=D("0.02"), trail_by=D("0.3"))
    state, _ = walk(opened(wide), "102")
    assert (state.stop_price, state.trail_price, state.protective_price) == (D(92), D("71.4"), D(92))
    assert walk(state, "90")[1] == Exit(ExitKind.STOP_LOSS, price=D(90), level=D(92))


def test_a_trailing_stop_that_was_switched_off_stays_where_it_is() -> None:
    """EXT-2: without its rule an active stop moves no more, and still closes."""
    state, _ = walk(opened(), "120")
    off = replace(state, plan=replace(SHIPPED, trail_from=None, trail_by=None))
    state, found = walk(off, "150", "149")
    assert (found, state.trail_price, state.peak_price) == (None, D(114), D(150))
    assert walk(state, "114")[1] == Exit(ExitKind.TRAILING, price=D(114), level=D(114))


# ---------------------------------------------------------------- take profit
def steps(*parts: tuple[str, str]) -> ExitPlan:
    return replace(
        NOTHING, take_profit=tuple(TakeProfitStep(fraction=D(part), gain=D(gain)) for gain, part in parts)
    )


@pytest.mark.parametrize(("sign", "level", "short_of_it"), [(1, "110", "109.99"), (-1, "90", "90.01")])
def test_take_profit_in_full(sign: int, level: str, short_of_it: str) -> None:
    """EXT-1: at its price or beyond, all of it."""
    state = opened(steps(("0.1", "1")), sign=sign)
    assert state.target_price == D(level)
    assert walk(state, short_of_it)[1] is None
    assert walk(state, level)[1] == Exit(ExitKind.TAKE_PROFIT, price=D(level), level=D(level))


def test_take_profit_in_steps_takes_each_once() -> None:
    """EXT-1: half at +10 %, half of the rest at +20 %, the rest at +30 %."""
    state = opened(steps(("0.1", "0.5"), ("0.2", "0.5"), ("0.3", "1")))
    state, found = walk(state, "110")
    assert found == Exit(ExitKind.TAKE_PROFIT, price=D(110), level=D(110), fraction=D("0.5"))
    assert (state.steps_done, state.target_price) == (1, D(120))
    assert walk(state, "112", "105", "119.99")[1] is None
    state, found = walk(state, "121")
    assert found == Exit(ExitKind.TAKE_PROFIT, price=D(121), level=D(120), fraction=D("0.5"))
    state, found = walk(state, "130")
    assert found == Exit(ExitKind.TAKE_PROFIT, price=D(130), level=D(130))
    assert state.steps_done == 2  # the step that closes all is told by its trigger


def test_steps_that_are_jumped_over_are_taken_together() -> None:
    """EXT-1: half and half of the rest are three quarters, at one price; the first level is told."""
    state, found = walk(opened(steps(("0.1", "0.5"), ("0.2", "0.5"), ("0.3", "1"))), "125")
    assert found == Exit(ExitKind.TAKE_PROFIT, price=D(125), level=D(110), fraction=D("0.75"))
    assert (state.steps_done, state.target_price) == (2, D(130))
    thirds, found = walk(opened(steps(("0.1", "0.333333"), ("0.2", "0.333333"))), "125")
    assert found is not None
    assert (found.fraction, thirds.steps_done) == (D("0.555555111111"), 2)
    assert walk(opened(steps(("0.1", "0.5"), ("0.2", "1"))), "125")[1] == Exit(
        ExitKind.TAKE_PROFIT, price=D(125), level=D(110)
    )


def test_a_step_may_name_its_price() -> None:
    """EXT-1: a price stays where it is when the average entry moves; a gain goes along."""
    plan = replace(
        NOTHING,
        take_profit=(
            TakeProfitStep(fraction=D("0.5"), price=D(104)),
            TakeProfitStep(fraction=D(1), gain=D("0.1")),
        ),
    )
    state = state_enlarge(state=opened(plan), entry_price=D(102), price=D(103))
    assert state.target_price == D(104)
    state, found = walk(state, "104")
    assert found == Exit(ExitKind.TAKE_PROFIT, price=D(104), level=D(104), fraction=D("0.5"))
    assert state.target_price == D("112.2")


def test_a_short_never_gains_all_of_its_price() -> None:
    """EXT-1: a gain of 100 % or more is out of a short's reach: no level, no exit, no trailing."""
    plan = replace(steps(("1", "1")), trail_from=D("1.5"), trail_by=D("0.05"))
    state = opened(plan, sign=-1)
    assert (state.target_price, state.activation_price) == (None, None)
    state, found = walk(state, "0.000000000001")
    assert (found, state.trail_price, state.peak_price) == (None, None, D("0.000000000001"))


# ---------------------------------------------------------------- time stop, order
def test_a_time_stop_closes_after_its_days_of_world_time() -> None:
    """EXT-1: 14 days after the opening to the microsecond, at whatever the price is then."""
    state = opened()
    late = OPENED + timedelta(days=14)
    early = late - timedelta(microseconds=1)
    assert state.time_stop_at == late
    assert exit_step(state=state, price=D(101), world_at=early)[1] is None
    assert exit_step(state=state, price=D(101), world_at=late)[1] == Exit(
        ExitKind.TIME_STOP, price=D(101), level=None
    )


def test_the_order_of_evaluation() -> None:
    """EXT-1: stop before take profit before time stop, whatever else the price and the time reach."""
    late = OPENED + timedelta(days=20)
    plan = replace(steps(("0.1", "0.25")), stop_loss=D("0.08"), time_stop=timedelta(days=14))
    assert exit_step(state=opened(plan), price=D(90), world_at=late)[1] == Exit(
        ExitKind.STOP_LOSS, price=D(90), level=D(92)
    )
    state, found = exit_step(state=opened(plan), price=D(111), world_at=late)
    assert found == Exit(ExitKind.TAKE_PROFIT, price=D(111), level=D(110), fraction=D("0.25"))
    assert exit_step(state=state, price=D(111), world_at=late)[1] == Exit(
        ExitKind.TIME_STOP, price=D(111), level=None
    )
    # A stop that was put above a target that is reached: the stop counts.
    crossed = replace(opened(plan), stop_price=D(115))
    assert walk(crossed, "112")[1] == Exit(ExitKind.STOP_LOSS, price=D(112), level=D(115))


def test_what_closes_a_part_moves_the_stop_too() -> None:
    """EXT-1: the price that takes a step also starts the trailing stop; the next price can hit it."""
    plan = replace(SHIPPED, take_profit=(TakeProfitStep(fraction=D("0.5"), gain=D("0.1")),))
    state, found = walk(opened(plan), "120")
    assert found is not None
    assert (found.kind, state.trail_price, state.steps_done) == (ExitKind.TAKE_PROFIT, D(114), 1)
    assert walk(state, "113")[1] == Exit(ExitKind.TRAILING, price=D(113), level=D(114))


def test_rules_that_are_off_close_nothing() -> None:
    """EXT-1: without rules a position is held whatever happens."""
    state, found = walk(opened(NOTHING), "1", "10000", "0.01", days=4000)
    assert (found, state.protective_price, state.time_stop_at) == (None, None, None)


# ---------------------------------------------------------------- enlargement
def test_enlarging_takes_the_stop_along_where_that_tightens_it() -> None:
    """EXT-2: a dearer average raises a long's stop, a cheaper one leaves it; mirrored for a short."""
    dearer = state_enlarge(state=opened(), entry_price=D(105), price=D(110))
    assert (dearer.entry_price, dearer.stop_price, dearer.peak_price) == (D(105), D("96.6"), D(110))
    cheaper = state_enlarge(state=dearer, entry_price=D(100), price=D(97))
    assert (cheaper.entry_price, cheaper.stop_price, cheaper.peak_price) == (D(100), D("96.6"), D(97))
    short = opened(sign=-1)
    assert state_enlarge(state=short, entry_price=D(95), price=D(90)).stop_price == D("102.6")
    assert state_enlarge(state=short, entry_price=D(103), price=D(106)).stop_price == D(108)


def test_enlarging_forgets_the_best_price_only_while_nothing_trails() -> None:
    """EXT-2: before the activation the gain was another position's; after it the stop stands."""
    waiting, _ = walk(opened(), "111")
    assert waiting.peak_price == D(111)
    waiting = state_enlarge(state=waiting, entry_price=D(105), price=D(108))
    assert (waiting.peak_price, waiting.activation_price) == (D(108), D("117.6"))
    assert walk(waiting, "117.5")[0].trail_price is None

    active, _ = walk(opened(), "120")
    active = state_enlarge(state=active, entry_price=D(110), price=D(118))
    assert (active.peak_price, active.trail_price, active.stop_price) == (D(120), D(114), D("101.2"))
    assert state_move(state=active, price=D(119)).trail_price == D(114)
    assert state_move(state=active, price=D(121)).trail_price == D("114.95")


def test_steps_that_were_taken_stay_taken_when_it_is_enlarged() -> None:
    """EXT-1: the next step is measured from the new average."""
    state, _ = walk(opened(steps(("0.1", "0.5"), ("0.2", "1"))), "110")
    state = state_enlarge(state=state, entry_price=D(105), price=D(110))
    assert (state.steps_done, state.target_price) == (1, D(126))
