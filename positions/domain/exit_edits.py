"""What a person's edit makes of what guards a position (EXT-2).

An edit changes the rules as it likes; what stands only tightens. A level that the price has reached already
is refused: it would close the position at once, and for that there is Close.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from core.decimals import plain
from core.errors import InputError
from positions.domain.exit_checks import DARING_STOP, plan_check, plan_warnings, steps_check_side
from positions.domain.exits import ExitPlan, ExitState, planned_stop, planned_trail, tighter


@dataclass(frozen=True, slots=True)
class Edited:
    """A position's exits after an edit.

    :param notes: what was asked for and changes nothing that stands, in words
    :param warnings: what is allowed and daring
    """

    state: ExitState
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """The price and the world time an edit is held against."""

    price: Decimal
    world_at: datetime


def state_edit(
    *,
    state: ExitState,
    plan: ExitPlan,
    steps_done: int,
    stop_price: Decimal | None = None,
    moment: Moment,
) -> Edited:
    """Return a position's exits under new rules.

    :param plan: all rules, the changed and the others
    :param steps_done: how many steps of the new plan count as taken
    :param stop_price: put the stop there; None: only where the plan puts it
    :raises InputError: rules that make no sense, a stop further away than the one that stands, or a level
        that the price or the time has reached
    """
    _refuse_closing(state, moment)
    plan_check(plan)
    steps_check_side(steps=plan.take_profit[steps_done:], entry=state.entry_price, sign=state.sign)
    after, notes = replace(state, plan=plan, steps_done=steps_done), list[str]()
    if stop_price is not None:
        after = _stop_put(after, stop_price, moment)
    if plan.stop_loss != state.plan.stop_loss:
        after = _stop_planned(after, moment, notes)
    after = _trail_planned(state, after, moment, notes)
    if (plan.take_profit, steps_done) != (state.plan.take_profit, state.steps_done):
        _target_check(after, moment)
    if plan.time_stop != state.plan.time_stop:
        _time_check(after, moment)
    return Edited(state=after, notes=tuple(notes), warnings=tuple(_warnings(after, stop_price)))


def stop_stays(stop: Decimal) -> str:
    """Say that an edit leaves the stop where it is."""
    return f"The stop stays at {plain(stop)}, since a stop only tightens."


def _refuse_closing(state: ExitState, moment: Moment) -> None:
    """A price at a stop closes the position, whether or not the watch has stored that yet."""
    stands = state.protective_price
    if stands is not None and (moment.price - stands) * state.sign <= 0:
        raise InputError(
            f"Its stop at {plain(stands)} is reached, the price is {plain(moment.price)}: it closes now.",
            field="position_id",
        )


def _stop_put(state: ExitState, stop: Decimal, moment: Moment) -> ExitState:
    stands = state.protective_price
    if stands is not None and (stop - stands) * state.sign < 0:
        name = "trailing stop" if stands == state.trail_price else "stop"
        raise InputError(
            f"A stop only tightens: the {name} stands at {plain(stands)}, and {plain(stop)} is further away.",
            field="stop_price",
        )
    _refuse_reached(stop, state=state, moment=moment, what="A stop", field="stop_price")
    return replace(state, stop_price=stop)


def _stop_planned(state: ExitState, moment: Moment, notes: list[str]) -> ExitState:
    """Tighten the stop to where the new percentage puts it; further away it changes nothing that stands."""
    stands, planned = state.stop_price, planned_stop(state)
    stop = tighter(stands, planned, sign=state.sign)
    if stop is None:
        return state
    if stop == stands:
        if planned != stands:
            notes.append(stop_stays(stop))
        return state
    _refuse_reached(stop, state=state, moment=moment, what="A stop", field="stop_loss_pct")
    return replace(state, stop_price=stop)


def _trail_planned(before: ExitState, state: ExitState, moment: Moment, notes: list[str]) -> ExitState:
    """Tighten a trailing stop that is active to its new distance; no new start makes it inactive."""
    plan, stands = state.plan, state.trail_price
    if (plan.trail_from, plan.trail_by) == (before.plan.trail_from, before.plan.trail_by):
        return state
    if stands is None:
        activation = state.activation_price
        if activation is not None and (moment.price - activation) * state.sign >= 0:
            notes.append("Its gain is reached: it trails from the next price on.")
        return state
    if plan.trail_by is None:
        notes.append(f"The trailing stop stays at {plain(stands)} and moves no more.")
        return state
    if plan.trail_from != before.plan.trail_from:
        notes.append("It trails already, so the new start counts for nothing here.")
    trail = tighter(stands, planned_trail(state, state.peak_price), sign=state.sign)
    if trail is None or trail == stands:
        if plan.trail_by != before.plan.trail_by:
            notes.append(f"The trailing stop stays at {plain(stands)} until the new distance tightens it.")
        return state
    _refuse_reached(trail, state=state, moment=moment, what="A trailing stop", field="trail_by_pct")
    return replace(state, trail_price=trail)


def _refuse_reached(level: Decimal, *, state: ExitState, moment: Moment, what: str, field: str) -> None:
    if (moment.price - level) * state.sign <= 0:
        side = "below" if state.sign > 0 else "above"
        raise InputError(
            f"{what} at {plain(level)} would close it at once: it must lie {side} the price, which is "
            f"{plain(moment.price)}. To close it now, use Close.",
            field=field,
        )


def _target_check(state: ExitState, moment: Moment) -> None:
    target = state.target_price
    if target is not None and (moment.price - target) * state.sign >= 0:
        raise InputError(
            f"The price has reached {plain(target)} already, it is {plain(moment.price)}: that step would "
            "close at once. To close it now, use Close.",
            field="take_profit",
        )


def _time_check(state: ExitState, moment: Moment) -> None:
    until = state.time_stop_at
    if until is not None and until <= moment.world_at:
        raise InputError(
            f"It has been open for longer, since {state.opened_at:%Y-%m-%d %H:%M} UTC: that time stop would "
            "close it at once. To close it now, use Close.",
            field="time_stop_days",
        )


def _warnings(state: ExitState, stop_price: Decimal | None) -> list[str]:
    stands = state.protective_price
    found = plan_warnings(plan=state.plan, stands=stands is not None)
    if stop_price is not None:
        away = (state.entry_price - stop_price) * state.sign / state.entry_price
        if away > DARING_STOP:
            found.append(
                f"A stop {away * 100:.1f} % from the entry price is daring: so much is lost before it closes."
            )
    return found
