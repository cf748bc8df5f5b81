"""EXT-1..4: over any path of prices the rules equal a plain check of the history, and keep their word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st

from positions.domain.exit_checks import plan_check
from positions.domain.exits import (
    ExitKind,
    ExitPlan,
    ExitState,
    TakeProfitStep,
    exit_step,
    state_enlarge,
    state_open,
)

D = Decimal
OPENED = datetime(2025, 10, 18, tzinfo=UTC)
ENTRY = D(100)


@dataclass(frozen=True)
class Event:
    """A price at a moment; or, with an entry, an enlargement that moved the average there at that price."""

    hour: int
    price: Decimal
    entry: Decimal | None = None

    @property
    def at(self) -> datetime:
        return OPENED + timedelta(hours=self.hour)


Told = tuple[int, str, Decimal, Decimal | None, Decimal]  # which event, kind, price, level, fraction


# ---------------------------------------------------------------- the plain check, in fractions
def level(price: Decimal, gain: Fraction) -> Fraction:
    return Fraction(round(Fraction(price) * (1 + gain) * 10**12), 10**12)


def by_hand(plan: ExitPlan, sign: int, events: list[Event]) -> list[Told]:
    """Hold every price against what all that came before it makes of each rule, with nothing remembered."""
    told: list[Told] = []
    taken = 0
    for number, event in enumerate(events):
        if event.entry is not None:
            continue
        past = events[:number]
        entries = [ENTRY] + [e.entry for e in past if e.entry is not None]
        stops: list[tuple[Fraction, str]] = []
        if plan.stop_loss is not None:
            away = Fraction(plan.stop_loss) * sign
            stops += [(level(entry, -away), "stop_loss") for entry in entries]
        since = activation(plan, sign, past)
        if since is not None and plan.trail_by is not None:
            seen = [e.price for e in past[since:] if e.entry is None]
            best = max(seen) if sign > 0 else min(seen)
            stops.append((level(best, -Fraction(plan.trail_by) * sign), "trailing"))
        price = Fraction(event.price)
        hit = [(stop, kind) for stop, kind in stops if (price - stop) * sign <= 0]
        if hit:
            first = max(stop for stop, _ in hit) if sign > 0 else min(stop for stop, _ in hit)
            kind = "trailing" if (first, "trailing") in hit else "stop_loss"
            return [*told, (number, kind, event.price, decimal(first), D(1))]
        left, reached, first_level = Fraction(1), 0, None
        for step in plan.take_profit[taken:]:
            at = level(entries[-1], Fraction(step.gain or 0) * sign)
            if at <= 0 or (price - at) * sign < 0:
                break
            first_level = at if first_level is None else first_level
            left *= 1 - Fraction(step.fraction)
            reached += 1
        if reached and first_level is not None:
            taken += reached
            part = decimal(Fraction(floor((1 - left) * 10**12), 10**12))
            told.append((number, "take_profit", event.price, decimal(first_level), part))
            if left == 0:
                return told
        elif plan.time_stop is not None and event.at - OPENED >= plan.time_stop:
            return [*told, (number, "time_stop", event.price, None, D(1))]
    return told


def activation(plan: ExitPlan, sign: int, past: list[Event]) -> int | None:
    """Return from which event on the stop trails: the first whose gain on the entry of then is enough."""
    entry = ENTRY
    for number, event in enumerate(past):
        if event.entry is not None:
            entry = event.entry
        elif plan.trail_from is not None:
            wanted = level(entry, Fraction(plan.trail_from) * sign)
            if wanted > 0 and (Fraction(event.price) - wanted) * sign >= 0:
                return number
    return None


def decimal(value: Fraction) -> Decimal:
    return (D(value.numerator) / D(value.denominator)).quantize(D("1e-12"))


# ---------------------------------------------------------------- the rules, step by step
def states(plan: ExitPlan, sign: int, events: list[Event]) -> tuple[list[ExitState], list[Told]]:
    state = state_open(plan=plan, sign=sign, entry_price=ENTRY, price=ENTRY, opened_at=OPENED)
    passed, told = [state], list[Told]()
    for number, event in enumerate(events):
        if event.entry is not None:
            state = state_enlarge(state=state, entry_price=event.entry, price=event.price)
        else:
            state, found = exit_step(state=state, price=event.price, world_at=event.at)
            if found is not None:
                told.append((number, found.kind.value, found.price, found.level, found.fraction))
                if found.fraction == 1:
                    break
        passed.append(state)
    return passed, told


# ---------------------------------------------------------------- what is tried
FRACTIONS = st.sampled_from([D("0.005"), D("0.01"), D("0.03"), D("0.05"), D("0.08"), D("0.12"), D("0.3")])
PRICES = st.one_of(
    st.decimals(min_value=D(60), max_value=D(160), places=2),
    st.decimals(min_value=D(97), max_value=D(103), places=3),
    st.sampled_from([D(x) for x in ("92", "108", "112", "88", "106.4", "92.4", "97", "103", "100")]),
)


@st.composite
def plans(draw: st.DrawFn) -> ExitPlan:
    trails = draw(st.booleans())
    gains = sorted(draw(st.sets(FRACTIONS, max_size=3)))
    parts = [draw(st.sampled_from([D("0.1"), D("0.333333"), D("0.5"), D("0.999999")])) for _ in gains]
    if parts and draw(st.booleans()):
        parts[-1] = D(1)
    return plan_check(
        ExitPlan(
            stop_loss=draw(st.none() | FRACTIONS),
            trail_from=draw(FRACTIONS) if trails else None,
            trail_by=draw(FRACTIONS) if trails else None,
            take_profit=tuple(TakeProfitStep(part, gain) for part, gain in zip(parts, gains, strict=True)),
            time_stop=draw(st.none() | st.sampled_from([timedelta(hours=5), timedelta(hours=20)])),
        )
    )


@st.composite
def paths(draw: st.DrawFn, *, enlarges: bool = True) -> list[Event]:
    prices = draw(st.lists(PRICES, min_size=1, max_size=25))
    entries = st.none() | PRICES if enlarges else st.none()
    grows = st.integers(0, 9)
    return [
        Event(hour=hour, price=price, entry=draw(entries) if draw(grows) == 0 else None)
        for hour, price in enumerate(prices)
    ]


SIGNS = st.sampled_from([1, -1])


@settings(max_examples=400, deadline=None)
@given(plan=plans(), sign=SIGNS, events=paths())
def test_the_rules_equal_a_plain_check_of_the_whole_history(
    plan: ExitPlan, sign: int, events: list[Event]
) -> None:
    """EXT-3: same event, kind, price, level and part; none missed, none early, none twice."""
    assert states(plan, sign, events)[1] == by_hand(plan, sign, events)


@settings(deadline=None)
@given(plan=plans(), sign=SIGNS, events=paths())
def test_a_stop_never_loosens(plan: ExitPlan, sign: int, events: list[Event]) -> None:
    """EXT-2: over any prices and enlargements neither stop moves away from the price, or goes."""
    passed, _ = states(plan, sign, events)
    for one, other in pairwise(passed):
        for before, after in (
            (one.stop_price, other.stop_price),
            (one.trail_price, other.trail_price),
            (one.protective_price, other.protective_price),
        ):
            assert before is None or (after is not None and (after - before) * sign >= 0)


@settings(deadline=None)
@given(plan=plans(), sign=SIGNS, events=paths())
def test_it_closes_once_and_only_at_a_level_or_beyond(plan: ExitPlan, sign: int, events: list[Event]) -> None:
    """EXT-1, EXT-4: one full exit at most, it is the last, and every price is at its level or beyond it."""
    _, told = states(plan, sign, events)
    assert all(fraction < 1 for *_, fraction in told[:-1])
    for _, kind, price, at, fraction in told:
        assert 0 < fraction <= 1
        if kind in {ExitKind.STOP_LOSS, ExitKind.TRAILING}:
            assert at is not None
            assert (price - at) * sign <= 0
        elif kind == ExitKind.TAKE_PROFIT:
            assert at is not None
            assert (price - at) * sign >= 0
        else:
            assert at is None


@settings(deadline=None)
@given(plan=plans(), events=paths())
def test_a_short_is_a_long_in_the_mirror(plan: ExitPlan, events: list[Event]) -> None:
    """EXT-1: reflected at the entry, a short closes where the long does, by the same rule and part.

    A trailing distance is a part of the best price, so it mirrors for no path; the plain check covers it.
    """
    still = replace(plan, trail_from=None, trail_by=None)
    fixed = [Event(hour=e.hour, price=e.price) for e in events]
    mirrored = [Event(hour=e.hour, price=2 * ENTRY - e.price) for e in fixed]
    _, long = states(still, 1, fixed)
    _, short = states(still, -1, mirrored)
    assert short == [
        (number, kind, 2 * ENTRY - price, None if at is None else 2 * ENTRY - at, fraction)
        for number, kind, price, at, fraction in long
    ]
