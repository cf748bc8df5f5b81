"""Exit rules of one position (EXT-1): stop loss, trailing stop, take profit, time stop. Mirrored for shorts.

A position is looked at once per price, in order. At each price, first what stood before it is held against
it, in this order:

    1. stop         the price is at the stop or beyond it (stop loss or trailing stop, whichever is tighter)
    2. take profit  the price is at the next step or beyond it; a jump over several steps takes them together
    3. time stop    the position has been open for so long, in world time

and only if nothing of that closes the whole position does the price move the stops: a price never raises the
stop that it hits. A gap through a level exits at the first price seen. Stops only ever tighten.

Gains and distances are fractions: a stop loss of 0.08 is 8 % of the average entry price, a trailing distance
of 0.05 is 5 % of the best price since the trailing stop became active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from core.decimals import EXACT, ONE, PRICE_STEP, QUANTITY_STEP, ZERO


class ExitKind(StrEnum):
    """Which rule closes; the values are those of ``engine.models.ExitTrigger.Kind``."""

    STOP_LOSS = "stop_loss"
    TRAILING = "trailing"
    TAKE_PROFIT = "take_profit"
    TIME_STOP = "time_stop"


@dataclass(frozen=True, slots=True)
class TakeProfitStep:
    """Close a part at a gain, or at a price; exactly one of the two is given.

    :param fraction: of what is held then, 0 < fraction ≤ 1; 1 closes the position
    """

    fraction: Decimal
    gain: Decimal | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """Which rules guard a position; None (no steps) is a rule that is off."""

    stop_loss: Decimal | None
    trail_from: Decimal | None
    trail_by: Decimal | None
    take_profit: tuple[TakeProfitStep, ...]
    time_stop: timedelta | None


@dataclass(frozen=True, slots=True)
class ExitState:
    """What the rules know of a position; prices are quote currency per unit.

    :param sign: 1 for a long, -1 for a short
    :param entry_price: average entry
    :param opened_at: world time
    :param peak_price: the best price since the trailing stop became active; before that, since the position
        was opened or last enlarged
    :param stop_price: where the stop loss stands; None without one
    :param trail_price: where the trailing stop stands; None while it is not active
    :param steps_done: how many steps of take profit were taken
    """

    plan: ExitPlan
    sign: int
    entry_price: Decimal
    opened_at: datetime
    peak_price: Decimal
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    steps_done: int = 0

    @property
    def protective_price(self) -> Decimal | None:
        """The tighter of stop loss and trailing stop; None where neither stands."""
        return tighter(self.stop_price, self.trail_price, sign=self.sign)

    @property
    def activation_price(self) -> Decimal | None:
        """The price from which the stop trails; None where it never does or does already."""
        if self.plan.trail_from is None or self.plan.trail_by is None or self.trail_price is not None:
            return None
        return reachable(at_gain(self.entry_price, self.plan.trail_from, sign=self.sign))

    @property
    def target_price(self) -> Decimal | None:
        """The price of the next step of take profit; None where none is left, or it is out of reach."""
        if self.steps_done >= len(self.plan.take_profit):
            return None
        step = self.plan.take_profit[self.steps_done]
        return reachable(step_price(step, entry=self.entry_price, sign=self.sign))

    @property
    def time_stop_at(self) -> datetime | None:
        """The world time from which the time stop closes it."""
        return None if self.plan.time_stop is None else self.opened_at + self.plan.time_stop


@dataclass(frozen=True, slots=True)
class Exit:
    """A rule closes a position, or a part of it.

    :param price: the price that was seen
    :param level: the price the rule waited for; None for the time stop
    :param fraction: of what is held, 0 < fraction ≤ 1
    """

    kind: ExitKind
    price: Decimal
    level: Decimal | None
    fraction: Decimal = ONE


def state_open(
    *, plan: ExitPlan, sign: int, entry_price: Decimal, price: Decimal, opened_at: datetime
) -> ExitState:
    """Return what the rules know of a position that has just been opened at ``entry_price``.

    :param price: of the fill that opened it; the best price so far
    """
    state = ExitState(plan=plan, sign=sign, entry_price=entry_price, opened_at=opened_at, peak_price=price)
    return replace(state, stop_price=planned_stop(state))


def state_enlarge(*, state: ExitState, entry_price: Decimal, price: Decimal) -> ExitState:
    """Return the state after an entry moved the average entry; stops follow it only where that tightens them.

    A trailing stop that is not active yet forgets the best price so far: that was another position's gain.
    """
    peak = state.peak_price if state.trail_price is not None else price
    moved = replace(state, entry_price=entry_price, peak_price=peak)
    stop = tighter(state.stop_price, planned_stop(moved), sign=state.sign)
    return replace(moved, stop_price=stop)


def exit_step(*, state: ExitState, price: Decimal, world_at: datetime) -> tuple[ExitState, Exit | None]:
    """Look at one price: return the state after it, and what closes the position or a part of it.

    :param world_at: world time of the price
    """
    found = _exit_at(state=state, price=price, world_at=world_at)
    if found is not None and found.fraction == ONE:
        return state, found
    after = state_move(state=state, price=price)
    if found is not None:
        after = replace(after, steps_done=state.steps_done + _steps_reached(state=state, price=price))
    return after, found


def state_move(*, state: ExitState, price: Decimal) -> ExitState:
    """Return the state after a price that closed nothing: the best price, and the trailing stop behind it.

    Where the rule was switched off while the stop trailed, the stop stays where it is.
    """
    activation = state.activation_price
    if activation is not None and (price - activation) * state.sign >= 0:
        return replace(state, peak_price=price, trail_price=planned_trail(state, price))
    if (price - state.peak_price) * state.sign <= 0:
        return state
    if state.trail_price is None or state.plan.trail_by is None:
        return replace(state, peak_price=price)
    trail = tighter(state.trail_price, planned_trail(state, price), sign=state.sign)
    return replace(state, peak_price=price, trail_price=trail)


def _exit_at(*, state: ExitState, price: Decimal, world_at: datetime) -> Exit | None:
    stop = state.protective_price
    if stop is not None and (price - stop) * state.sign <= 0:
        kind = ExitKind.TRAILING if stop == state.trail_price else ExitKind.STOP_LOSS
        return Exit(kind=kind, price=price, level=stop)
    if steps := _steps_reached(state=state, price=price):
        taken = state.plan.take_profit[state.steps_done : state.steps_done + steps]
        fraction = fraction_of(taken)
        return Exit(kind=ExitKind.TAKE_PROFIT, price=price, level=state.target_price, fraction=fraction)
    time_stop_at = state.time_stop_at
    if time_stop_at is not None and world_at >= time_stop_at:
        return Exit(kind=ExitKind.TIME_STOP, price=price, level=None)
    return None


def _steps_reached(*, state: ExitState, price: Decimal) -> int:
    """Return how many further steps of take profit a price reaches."""
    count = 0
    for step in state.plan.take_profit[state.steps_done :]:
        level = reachable(step_price(step, entry=state.entry_price, sign=state.sign))
        if level is None or (price - level) * state.sign < 0:
            break
        count += 1
    return count


def planned_stop(state: ExitState) -> Decimal | None:
    """Return where the plan puts the stop loss of an average entry; None where it has none."""
    if state.plan.stop_loss is None:
        return None
    return at_gain(state.entry_price, -state.plan.stop_loss, sign=state.sign)


def planned_trail(state: ExitState, price: Decimal) -> Decimal:
    """Return where the plan's trailing stop stands behind a best price.

    :raises ValueError: the plan does not trail
    """
    if state.plan.trail_by is None:
        msg = "only a plan that trails moves a trailing stop"
        raise ValueError(msg)
    return at_gain(price, -state.plan.trail_by, sign=state.sign)


def at_gain(price: Decimal, gain: Decimal, *, sign: int) -> Decimal:
    """Return the price at which a position entered at ``price`` has made ``gain``, to the stored 12 places.

    >>> at_gain(Decimal(100), Decimal("-0.08"), sign=1), at_gain(Decimal(100), Decimal("-0.08"), sign=-1)
    (Decimal('92.000000000000'), Decimal('108.000000000000'))
    """
    return EXACT.multiply(price, ONE + sign * gain).quantize(PRICE_STEP, context=EXACT)


def reachable(price: Decimal) -> Decimal | None:
    """Return a level that a price can reach, which is above zero: no short ever gains 100 %."""
    return price if price > 0 else None


def fraction_of(steps: Sequence[TakeProfitStep]) -> Decimal:
    """Return how much of what is held steps take that are reached together, each of what the last one left.

    Rounded down to 12 places, so that nothing but a step that closes everything ever does.

    >>> fraction_of([TakeProfitStep(fraction=Decimal("0.5")), TakeProfitStep(fraction=Decimal("0.5"))])
    Decimal('0.750000000000')
    """
    left = ONE
    for step in steps:
        left = EXACT.multiply(left, ONE - step.fraction)
    return EXACT.subtract(ONE, left).quantize(QUANTITY_STEP, rounding=ROUND_DOWN, context=EXACT)


def step_price(step: TakeProfitStep, *, entry: Decimal, sign: int) -> Decimal:
    """Return the price of a step of take profit."""
    return step.price if step.price is not None else at_gain(entry, step.gain or ZERO, sign=sign)


def tighter(one: Decimal | None, other: Decimal | None, *, sign: int) -> Decimal | None:
    """Return the stop that is hit first: the higher one of a long, the lower one of a short."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other) if sign > 0 else min(one, other)
