"""EXT-2: what a person's edit makes of a guarded position, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from positions.domain.exit_checks import plan_check, plan_warnings
from positions.domain.exit_edits import Edited, Moment, state_edit
from positions.domain.exits import ExitPlan, ExitState, TakeProfitStep, state_move, state_open

D = Decimal
OPENED = datetime(2025, 10, 18, tzinfo=UTC)
SHIPPED = ExitPlan(
    stop_loss=D("0.08"),
    trail_from=D("0.12"),
    trail_by=D("0.05"),
    take_profit=(),
    time_stop=timedelta(days=14),
)


def state(*, sign: int = 1, best: str = "100") -> ExitState:
    """Return the exits of a position entered at 100 whose best price so far is ``best``."""
    opened = state_open(plan=SHIPPED, sign=sign, entry_price=D(100), price=D(100), opened_at=OPENED)
    return state_move(state=opened, price=D(best))


def edit(
    before: ExitState, *, price: str = "100", stop: str = "", done: int = 0, days: float = 1, **rules: Any
) -> Edited:
    return state_edit(
        state=before,
        plan=replace(before.plan, **rules),
        steps_done=done,
        stop_price=D(stop) if stop else None,
        moment=Moment(price=D(price), world_at=OPENED + timedelta(days=days)),
    )


def refused(before: ExitState, **what: Any) -> tuple[str | None, str]:
    with pytest.raises(InputError) as error:
        edit(before, **what)
    return error.value.field, error.value.message


def step(gain: str = "", price: str = "", part: str = "1") -> TakeProfitStep:
    return TakeProfitStep(fraction=D(part), gain=D(gain) if gain else None, price=D(price) if price else None)


# ---------------------------------------------------------------- stop price
@pytest.mark.parametrize(("sign", "tight", "loose"), [(1, "95", "91.9"), (-1, "105", "108.1")])
def test_a_stop_price_only_tightens(sign: int, tight: str, loose: str) -> None:
    """EXT-2: nearer is taken to the last decimal, further is refused and the stop that stands is named."""
    before = state(sign=sign)
    edited = edit(before, stop=tight)
    assert (edited.state, edited.notes, edited.warnings) == (replace(before, stop_price=D(tight)), (), ())
    stands = "92" if sign > 0 else "108"
    assert refused(before, stop=loose) == (
        "stop_price",
        f"A stop only tightens: the stop stands at {stands}, and {loose} is further away.",
    )
    assert edit(before, stop=stands).state.stop_price == D(stands)


def test_a_stop_price_is_held_against_the_trailing_stop_too() -> None:
    """EXT-2: what protects now is the tighter of the two."""
    before = state(best="120")
    assert refused(before, price="118", stop="110") == (
        "stop_price",
        "A stop only tightens: the trailing stop stands at 114, and 110 is further away.",
    )
    after = edit(before, price="118", stop="116").state
    assert (after.stop_price, after.trail_price, after.protective_price) == (D(116), D(114), D(116))


@pytest.mark.parametrize(("sign", "stop", "side"), [(1, "100", "below"), (-1, "99", "above")])
def test_a_stop_at_the_price_or_beyond_would_close_at_once(sign: int, stop: str, side: str) -> None:
    """EXT-2: for that there is Close."""
    assert refused(state(sign=sign), stop=stop) == (
        "stop_price",
        (
            f"A stop at {stop} would close it at once: it must lie {side} the price, which is 100. "
            "To close it now, use Close."
        ),
    )


def test_a_stop_far_from_the_entry_is_warned_about() -> None:
    """EXT-2: only where none stood can it be put there at all."""
    bare = replace(state(), plan=replace(SHIPPED, stop_loss=None), stop_price=None)
    assert edit(bare, stop="70").warnings == (
        "A stop 30.0 % from the entry price is daring: so much is lost before it closes.",
    )


# ---------------------------------------------------------------- stop percentage
def test_a_tighter_percentage_moves_the_stop_and_a_wider_one_only_the_rule() -> None:
    """EXT-2: the ratchet keeps what stands, and the answer says so."""
    tight = edit(state(), stop_loss=D("0.03"))
    assert (tight.state.stop_price, tight.notes) == (D(97), ())
    wide = edit(tight.state, stop_loss=D("0.3"))
    assert (wide.state.stop_price, wide.state.plan.stop_loss) == (D(97), D("0.3"))
    assert wide.notes == ("The stop stays at 97, since a stop only tightens.",)
    assert wide.warnings == ("A stop 30 % away is daring: so much is lost before it closes.",)
    off = edit(tight.state, stop_loss=None)
    assert (off.state.stop_price, off.notes) == (
        D(97),
        ("The stop stays at 97, since a stop only tightens.",),
    )
    assert off.warnings == ()  # one stands, whatever the rule says
    assert edit(state(sign=-1), stop_loss=D("0.03")).state.stop_price == D(103)


def test_a_percentage_that_the_price_has_passed_is_refused() -> None:
    """EXT-2: a loss of 4 % cannot be stopped at 3 %."""
    field, message = refused(state(), price="96", stop_loss=D("0.03"))
    assert field == "stop_loss_pct"
    assert message.startswith(
        "A stop at 97 would close it at once: it must lie below the price, which is 96."
    )


# ---------------------------------------------------------------- trailing
def test_a_trailing_stop_tightens_to_its_new_distance() -> None:
    """EXT-2: behind the best price since it trails; wider changes nothing that stands."""
    before = state(best="120")
    assert edit(before, price="119", trail_by=D("0.02")).state.trail_price == D("117.6")
    wide = edit(before, price="119", trail_by=D("0.1"))
    assert (wide.state.trail_price, wide.state.plan.trail_by) == (D(114), D("0.1"))
    assert wide.notes == ("The trailing stop stays at 114 until the new distance tightens it.",)
    assert state_move(state=wide.state, price=D(126)).trail_price == D(114)
    assert state_move(state=wide.state, price=D(130)).trail_price == D(117)
    field, message = refused(before, price="117", trail_by=D("0.02"))
    assert field == "trail_by_pct"
    assert message.startswith("A trailing stop at 117.6 would close it at once")


def test_an_active_trailing_stop_stays_active() -> None:
    """EXT-2: a later start or no rule at all does not take away what protects."""
    before = state(best="120")
    later = edit(before, price="119", trail_from=D("0.5"))
    assert (later.state.trail_price, later.state.activation_price) == (D(114), None)
    assert later.notes == ("It trails already, so the new start counts for nothing here.",)
    off = edit(before, price="119", trail_from=None, trail_by=None)
    assert (off.state.trail_price, off.notes) == (
        D(114),
        ("The trailing stop stays at 114 and moves no more.",),
    )


def test_a_start_that_is_reached_trails_from_the_next_price() -> None:
    """EXT-2: the price that was seen before the edit activates nothing."""
    edited = edit(state(best="108"), price="107", trail_from=D("0.05"))
    assert (edited.state.trail_price, edited.state.activation_price) == (None, D(105))
    assert edited.notes == ("Its gain is reached: it trails from the next price on.",)
    assert state_move(state=edited.state, price=D(106)).trail_price == D("100.7")
    assert edit(state(best="108"), price="104", trail_from=D("0.05")).notes == ()


# ---------------------------------------------------------------- take profit, time
def test_a_step_that_is_reached_is_refused() -> None:
    """EXT-2: at a gain or a price the mark has passed, for either side."""
    assert edit(state(), price="109", take_profit=(step("0.1"),)).state.target_price == D(110)
    field, message = refused(state(), price="110", take_profit=(step("0.1"),))
    assert (field, message) == (
        "take_profit",
        (
            "The price has reached 110 already, it is 110: that step would close at once. "
            "To close it now, use Close."
        ),
    )
    assert refused(state(sign=-1), price="95", take_profit=(step(price="96"),))[0] == "take_profit"
    # A step in a loss is fine as long as the price has not come there.
    assert edit(state(), price="94", take_profit=(step(price="95"),)).state.target_price == D(95)


def test_steps_lie_one_behind_the_other_on_the_positions_side() -> None:
    """EXT-2: prices and gains are compared as the prices they come to."""
    mixed = (step("0.1", part="0.5"), step(price="120"))
    assert edit(state(), take_profit=mixed).state.target_price == D(110)
    assert refused(state(), take_profit=(step("0.1", part="0.5"), step(price="110"))) == (
        "take_profit",
        "Every step lies above the one before it; 110 does not lie above 110.",
    )
    assert refused(state(sign=-1), take_profit=(step(price="90", part="0.5"), step(price="95"))) == (
        "take_profit",
        "Every step lies below the one before it; 95 does not lie below 90.",
    )
    assert refused(state(sign=-1), take_profit=(step("1"),)) == (
        "take_profit",
        "A short cannot gain 100 %: its price would be 0.",
    )


def test_steps_that_were_taken_are_not_held_against_the_price() -> None:
    """EXT-2: a list that begins with them goes on behind them."""
    plan = (step("0.1", part="0.5"), step("0.3"))
    edited = edit(state(best="111"), price="111", take_profit=plan, done=1)
    assert (edited.state.steps_done, edited.state.target_price) == (1, D(130))


def test_a_time_stop_that_is_over_is_refused() -> None:
    """EXT-2: world time since the opening."""
    assert edit(state(), days=2, time_stop=timedelta(days=3)).state.time_stop_at == OPENED + timedelta(days=3)
    assert refused(state(), days=3, time_stop=timedelta(days=3)) == (
        "time_stop_days",
        (
            "It has been open for longer, since 2025-10-18 00:00 UTC: that time stop would close it at once. "
            "To close it now, use Close."
        ),
    )


def test_nothing_is_edited_while_the_stop_is_reached() -> None:
    """EXT-2: the price at a stop closes it, whether or not that is stored yet."""
    assert refused(state(), price="92", time_stop=timedelta(days=30)) == (
        "position_id",
        "Its stop at 92 is reached, the price is 92: it closes now.",
    )


# ---------------------------------------------------------------- sense, daring
@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"stop_loss": D(1)}, "stop_loss_pct"),
        ({"stop_loss": D("-0.01")}, "stop_loss_pct"),
        ({"trail_by": D(1)}, "trail_by_pct"),
        ({"trail_from": D(10)}, "trail_from_pct"),
        ({"trail_from": None}, "trail_from_pct"),
        ({"trail_by": None}, "trail_by_pct"),
        ({"time_stop": timedelta(seconds=59)}, "time_stop_days"),
        ({"time_stop": timedelta(days=3651)}, "time_stop_days"),
        ({"take_profit": (step("0.1", part="0"),)}, "take_profit"),
        ({"take_profit": (step("0.1", part="1.01"),)}, "take_profit"),
        ({"take_profit": (step(),)}, "take_profit"),
        ({"take_profit": (step("0.1", "110"),)}, "take_profit"),
        ({"take_profit": (step("-0.1"),)}, "take_profit"),
        ({"take_profit": (step("11"),)}, "take_profit"),
        ({"take_profit": (step("0.2", part="0.5"), step("0.1"))}, "take_profit"),
        ({"take_profit": (step("0.1"), step("0.2"))}, "take_profit"),
        ({"take_profit": tuple(step(f"0.{n:02}", part="0.1") for n in range(1, 12))}, "take_profit"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(rules: dict[str, Any], field: str) -> None:
    """EXT-2: for defaults and for one position alike."""
    with pytest.raises(InputError) as error:
        plan_check(replace(SHIPPED, **rules))
    assert error.value.field == field


def test_what_is_daring_is_said() -> None:
    """EXT-2: allowed, and told."""
    assert plan_warnings(plan=SHIPPED) == []
    daring = ExitPlan(
        stop_loss=D("0.2501"),
        trail_from=D("0.1"),
        trail_by=D("0.0049"),
        take_profit=(),
        time_stop=timedelta(days=61),
    )
    assert plan_warnings(plan=plan_check(daring)) == [
        "A stop 25.01 % away is daring: so much is lost before it closes.",
        "A trailing stop 0.49 % behind is daring: any small move hits it.",
        "A time stop of 61 days is daring: it guards next to nothing.",
    ]
    bare = replace(SHIPPED, stop_loss=None)
    assert plan_warnings(plan=bare) == ["There is no stop loss: nothing closes it when it falls."]
    assert plan_warnings(plan=bare, stands=True) == []


# ---------------------------------------------------------------- any edit
FRACTIONS = st.sampled_from([D("0.001"), D("0.01"), D("0.05"), D("0.12"), D("0.5")])


@settings(deadline=None)
@given(
    sign=st.sampled_from([1, -1]),
    best=st.decimals(min_value=D(60), max_value=D(140), places=1),
    price=st.decimals(min_value=D(60), max_value=D(140), places=1),
    stop=st.none() | st.decimals(min_value=D(50), max_value=D(150), places=1),
    stop_loss=st.none() | FRACTIONS,
    trail=st.none() | st.tuples(FRACTIONS, FRACTIONS),
)
def test_no_edit_loosens_a_stop_or_closes_by_itself(
    sign: int,
    best: Decimal,
    price: Decimal,
    stop: Decimal | None,
    stop_loss: Decimal | None,
    trail: tuple[Decimal, Decimal] | None,
) -> None:
    """EXT-2: an edit is refused whole, or every stop is as tight as before and not reached."""
    before = state(sign=sign, best=str(best))
    try:
        after = edit(
            before,
            price=str(price),
            stop=str(stop) if stop else "",
            stop_loss=stop_loss,
            trail_from=trail[0] if trail else None,
            trail_by=trail[1] if trail else None,
        ).state
    except InputError:
        return
    for one, other in ((before.stop_price, after.stop_price), (before.trail_price, after.trail_price)):
        assert one is None or (other is not None and (other - one) * sign >= 0)
    protective = after.protective_price
    assert protective is not None
    assert (price - protective) * sign > 0
    if stop is not None:
        assert after.stop_price is not None
        assert (after.stop_price - stop) * sign >= 0
