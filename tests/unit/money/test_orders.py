"""The order state machine, drafts, and the capital an entry needs."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.instruments import Instrument
from core.types import OrderSide, Policy
from execution.domain.orders import (
    ENDED,
    OPEN,
    TRANSITIONS,
    ImpossibleTransition,
    OrderDraft,
    OrderStatus,
    SliceDraft,
    capital_needed,
    draft_problem,
    market_limit,
    signed,
    status_after_fill,
    transition_check,
)
from execution.models import Order
from positions.domain import status as position_status
from positions.models import Position

S = OrderStatus
DRAFT = OrderDraft(
    instrument_code="BTC",
    underlying="BTC",
    policy=Policy.PERP,
    side=OrderSide.BUY,
    quantity=D("0.3"),
    limit_price=D(100),
    reduce_only=False,
    purpose="entry",
    slices=(SliceDraft(1, D("0.1")), SliceDraft(None, D("0.2"))),
    decision_mark=D(100),
)


def test_the_tables_speak_of_the_stored_statuses() -> None:
    """EXE-3, EXE-7: every stored status is in its table and every arrow leads to one."""
    assert {status.value for status in TRANSITIONS} == set(Order.Status.values)
    assert {status.value for status in OPEN} == set(Order.OPEN_STATUSES)
    assert {status.value for status in position_status.TRANSITIONS} == set(Position.Status.values)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.PENDING, S.SUBMITTED),
        (S.PENDING, S.FILLED),
        (S.UNKNOWN, S.CANCELLED),
        (S.CANCELLED, S.FILLED),
        (S.EXPIRED, S.FILLED),
        (S.REJECTED, S.PARTIALLY_FILLED),
    ],
)
def test_odd_but_real_arrows(before: S, after: S) -> None:
    """EXE-3: late fills, lost answers and orders that arrived after all."""
    assert transition_check(before=before, after=after) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (S.FILLED, S.CANCELLED),
        (S.CANCELLED, S.SUBMITTED),
        (S.EXPIRED, S.PARTIALLY_FILLED),
        (S.UNKNOWN, S.PENDING),
        (S.PARTIALLY_FILLED, S.REJECTED),
        (S.PARTIALLY_FILLED, S.SUBMITTED),
        (S.SUBMITTED, S.PENDING),
    ],
)
def test_arrows_that_do_not_exist(before: S, after: S) -> None:
    """EXE-3: statuses move only along the table, and the error says what would be possible."""
    with pytest.raises(ImpossibleTransition, match=f"an order that is {before} may become"):
        transition_check(before=before, after=after)


def test_nothing_leaves_a_filled_order_and_nothing_returns_to_pending() -> None:
    """EXE-3."""
    assert TRANSITIONS[S.FILLED] == frozenset()
    assert all(S.PENDING not in targets for targets in TRANSITIONS.values())
    assert frozenset({S.FILLED, S.CANCELLED, S.REJECTED, S.EXPIRED}) == ENDED


@given(st.sampled_from(list(S)), st.integers(1, 30), st.integers(1, 40))
def test_a_fill_always_finds_an_arrow(status: S, quantity: int, filled: int) -> None:
    """A fill that happened can be booked whatever we believed of its order."""
    if status == S.FILLED and filled < quantity:
        return
    after = status_after_fill(status=status, quantity=D(quantity), filled_quantity=D(filled))
    assert after == status or after in TRANSITIONS[status]
    assert (after == S.FILLED) == (filled >= quantity)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"quantity": D(0)}, "must be above 0"),
        ({"limit_price": D("NaN")}, "must be above 0"),
        ({"margin_rate": D("1.5")}, "at most 1"),
        ({"slices": ()}, "no slices"),
        ({"slices": (SliceDraft(1, D("0.1")), SliceDraft(1, D("0.2")))}, "one slice per follow"),
        ({"slices": (SliceDraft(1, D("0.2999")),)}, "slices sum to 0.2999"),
        ({"side": OrderSide.SELL}, "slices sum to 0.3"),
        (
            {"policy": Policy.SPOT, "side": OrderSide.SELL, "slices": (SliceDraft(1, D("-0.3")),)},
            "spot sale can only reduce",
        ),
    ],
)
def test_drafts_that_make_no_sense_are_told_why(change: dict[str, object], problem: str) -> None:
    """An order that could not be booked is never stored."""
    found = draft_problem(replace(DRAFT, **change))  # type: ignore[arg-type]
    assert problem in found
    assert bool(problem) == bool(found)


def test_capital_needed_by_hand() -> None:
    """0.01 BTC at 100,100 with leverage 2 and 4.5 bps: 1,001 × (0.5 + 0.00045) = 500.95045, and two steps."""
    assert capital_needed(
        quantity=D("0.01"), price=D(100100), margin_rate=D("0.5"), fee_rate=D("0.00045")
    ) == D("500.95045002")
    assert signed(side="SELL", quantity=D(2)) == -2


def test_a_market_order_is_protected_from_a_broken_book() -> None:
    """EXE-4: 5 % beyond the mark, in the instrument's own precision, never nearer."""
    coin = Instrument(code="X", underlying="X", multiplier=D(1), quantity_step=D("0.1"), price_places=2)
    assert market_limit(side="BUY", mark=D("123.456"), instrument=coin) == D("129.63")
    assert market_limit(side="SELL", mark=D("123.456"), instrument=coin) == D("117.28")
