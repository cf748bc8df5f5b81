"""An exit takes its part off every slice, reaches as far as it may, and never takes more than is held."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import OrderSide, Policy
from engine.domain.exit_draft import HeldPosition, exit_draft
from execution.domain.orders import OrderDraft, SliceDraft, draft_problem
from tests.unit.decide.scenario import instrument

D = Decimal


def held(**slices: str) -> HeldPosition:
    """ETH held by follows named ``f1``, ``f2``; ``mine`` is the owner's part."""
    parts = {None if name == "mine" else int(name[1:]): D(quantity) for name, quantity in slices.items()}
    return HeldPosition(instrument("ETH"), Policy.PERP, sum(parts.values(), D(0)), D("0.5"), parts)


def draft(position: HeldPosition, quantity: str, **more: Any) -> OrderDraft:
    values = {"mark": D(3000), "market": True, "purpose": "reduce", "reason": "why", "lifetime_s": 60}
    return exit_draft(held=position, quantity=D(quantity), origin="person", **(values | more))


def test_a_long_is_sold_pro_rata_at_most_five_per_cent_below_the_mark() -> None:
    order = draft(held(f1="6", f2="4", mine="2"), "6")
    assert order.side is OrderSide.SELL
    assert order.reduce_only
    assert order.limit_price == D(2850)
    assert order.slices == [SliceDraft(1, D(-3)), SliceDraft(2, D(-2)), SliceDraft(None, D(-1))]
    assert draft_problem(order) == ""


def test_a_short_is_bought_back_and_a_limit_reaches_one_per_cent() -> None:
    order = draft(held(f1="-3", f2="1"), "2", market=False)
    assert order.side is OrderSide.BUY
    assert order.limit_price == D(3030)
    assert order.slices == [SliceDraft(1, D(3)), SliceDraft(2, D(-1))]
    assert draft_problem(order) == ""


@pytest.mark.parametrize("quantity", ["0", "-1", "2.0001"])
def test_an_exit_of_nothing_or_of_more_than_is_held_is_refused(quantity: str) -> None:
    with pytest.raises(ValueError, match="at most the 2 that is held"):
        draft(held(f1="2"), quantity)


@given(
    parts=st.lists(st.integers(1, 10**6), min_size=1, max_size=5),
    part=st.fractions(min_value="0.000001", max_value=1),
    short=st.booleans(),
)
def test_whatever_is_taken_off_is_exactly_the_sum_of_its_slices(
    parts: list[int], part: Any, short: bool
) -> None:
    sign = -1 if short else 1
    slices = {f"f{place}": str(D(sign * units) / 10**4) for place, units in enumerate(parts)}
    position = held(**slices)
    quantity = max(
        D("0.0001"), instrument("ETH").quantity(abs(position.quantity) * part.numerator / part.denominator)
    )
    order = draft(position, str(quantity))
    assert draft_problem(order) == ""
    for share in order.slices:
        assert abs(share.quantity) <= abs(position.slices[share.follow_id])
