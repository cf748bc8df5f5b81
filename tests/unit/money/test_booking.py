"""Booking of fills: worked examples an accountant can follow, and what holds for every sequence."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decimals import split_pro_rata
from positions.domain.booking import (
    Book,
    Booked,
    fill_apply,
    fill_shares,
    notional_of,
    unrealized_pnl,
)

QUANTITIES = st.decimals(min_value="-50000", max_value="50000", places=5).filter(lambda q: q != 0)
PRICES = st.decimals(min_value="0.0001", max_value="150000", places=4).filter(lambda p: p > 0)
FILLS = st.lists(st.tuples(QUANTITIES, PRICES), min_size=1, max_size=25)


def book(*fills: tuple[str, str]) -> Booked:
    """Book (signed quantity, price) one after the other; realized is the sum."""
    now, realized = Book(), D(0)
    for quantity, price in fills:
        booked = fill_apply(
            book=now, quantity=D(quantity), notional=notional_of(quantity=D(quantity), price=D(price))
        )
        now, realized = booked.book, realized + booked.realized
    return Booked(now.quantity, now.cost, realized)


@pytest.mark.parametrize(
    ("fills", "quantity", "cost", "realized"),
    [
        # Bought 2 at 100 and 1 at 130: 3 that cost 330, 110 each.
        ([("2", "100"), ("1", "130")], "3", "330", "0"),
        # One of them sold at 140: 140 - 110 = 30 gained, two left at 220.
        ([("2", "100"), ("1", "130"), ("-1", "140")], "2", "220", "30"),
        # Everything sold at 90: 30 of the first sale, then 180 - 220 = -40.
        ([("2", "100"), ("1", "130"), ("-1", "140"), ("-2", "90")], "0", "0", "-10"),
        # Short 3 at 50: received 150. Two bought back at 40: 100 - 80 = 20 gained, one short at 50.
        ([("-3", "50"), ("2", "40")], "-1", "-50", "20"),
        # Long 1 at 100, sold 3 at 120: 20 gained, then short 2 at 120.
        ([("1", "100"), ("-3", "120")], "-2", "-240", "20"),
        # Short 2 at 120, bought 5 at 125: 10 lost, then long 3 at 125.
        ([("-2", "120"), ("5", "125")], "3", "375", "-10"),
        # A third of a cost that does not divide: 100.00 / 3 = 33.33333333; the last close takes the rest.
        ([("3", "33.33333333"), ("-1", "40")], "2", "66.66666666", "6.66666667"),
        ([("3", "33.33333333"), ("-1", "40"), ("-2", "40")], "0", "0", "20.00000001"),
    ],
)
def test_worked_examples(fills: list[tuple[str, str]], quantity: str, cost: str, realized: str) -> None:
    """EXE-7: average cost on entries, proportional share on exits, everything on the last exit."""
    assert book(*fills) == Booked(D(quantity), D(cost), D(realized))


def test_a_booking_needs_a_quantity() -> None:
    """A fill of nothing is refused rather than booked."""
    with pytest.raises(ValueError, match="needs a quantity"):
        fill_apply(book=Book(), quantity=D(0), notional=D(5))


def test_unrealized_is_exact_on_both_sides() -> None:
    """Gains are positive for long and for short."""
    assert unrealized_pnl(quantity=D("0.3"), cost=D("30"), mark=D("110")) == D("3")
    assert unrealized_pnl(quantity=D("-0.3"), cost=D("-30"), mark=D("110")) == D("-3")


@given(FILLS)
def test_nothing_is_lost_whatever_is_booked(fills: list[tuple[D, D]]) -> None:
    """Σ realized − cost = −Σ notional to the last decimal; quantity is the sum; flat means no cost."""
    now, realized, flow, quantity = Book(), D(0), D(0), D(0)
    for signed, price in fills:
        notional = notional_of(quantity=signed, price=price)
        booked = fill_apply(book=now, quantity=signed, notional=notional)
        now, realized = booked.book, realized + booked.realized
        flow, quantity = flow + notional, quantity + signed
        assert now.quantity == quantity
        assert realized - now.cost == -flow
        assert now.cost == now.cost.quantize(D("0.00000001"))
        if quantity == 0:
            assert now.cost == 0
        else:
            assert now.cost * quantity >= 0


@given(FILLS, PRICES)
def test_worth_changes_only_by_the_distance_to_the_mark(fills: list[tuple[D, D]], mark: D) -> None:
    """Realized + unrealized of a whole history = Σ quantity × mark − Σ notional."""
    done = book(*((str(quantity), str(price)) for quantity, price in fills))
    expected = notional_of(quantity=done.quantity, price=mark) - sum(
        notional_of(quantity=quantity, price=price) for quantity, price in fills
    )
    assert done.realized + unrealized_pnl(quantity=done.quantity, cost=done.cost, mark=mark) == expected


@given(st.lists(QUANTITIES, min_size=1, max_size=6), st.data())
def test_fills_give_each_slice_exactly_what_it_ordered(slices: list[D], data: st.DataObject) -> None:
    """BEY-1: however an order is filled piece by piece, quantity, notional and fee sum to each fill."""
    whole = sum(slices)
    if whole == 0:
        return
    sign = 1 if whole > 0 else -1
    pieces = data.draw(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
    steps = split_pro_rata(whole, [D(piece * sign) for piece in pieces], step=D("0.00001"))
    got = [D(0)] * len(slices)
    filled = D(0)
    for index, quantity in enumerate(step for step in steps if step * sign > 0):
        notional = notional_of(quantity=quantity, price=D("7.77"))
        fee = D("0.00000007") * (index + 1)
        shares = fill_shares(
            slices=slices, filled_before=filled, quantity=quantity, notional=notional, fee=fee
        )
        assert sum(share.quantity for share in shares) == quantity
        assert sum(share.notional for share in shares) == notional
        assert sum(share.fee for share in shares) == fee
        for share in shares:
            got[share.index] += share.quantity
        filled += quantity
    if filled == whole:
        assert got == slices


def test_a_third_each_is_settled_by_the_last_piece() -> None:
    """Three equal slices of 1 filled in three pieces of 1: the remainder of each piece goes to the first."""
    slices = [D("1"), D("1"), D("1")]
    first = fill_shares(slices=slices, filled_before=D(0), quantity=D(1), notional=D(100), fee=D("0.1"))
    assert [share.quantity for share in first] == [
        D("0.333333333334"),
        D("0.333333333333"),
        D("0.333333333333"),
    ]
    assert [share.notional for share in first] == [D("33.33333334"), D("33.33333333"), D("33.33333333")]
    last = fill_shares(slices=slices, filled_before=D(2), quantity=D(1), notional=D(100), fee=D("0.1"))
    assert sum(share.quantity for share in last) == 1


def test_more_than_ordered_is_shared_in_the_same_proportion() -> None:
    """An excess happened, so it is booked: 3 filled where 1 and 1 were ordered gives 1.5 each."""
    shares = fill_shares(slices=[D(1), D(1)], filled_before=D(0), quantity=D(3), notional=D(30), fee=D(0))
    assert [(share.quantity, share.notional) for share in shares] == [(D("1.5"), D(15)), (D("1.5"), D(15))]


def test_products_of_full_columns_do_not_round() -> None:
    """36-digit quantities and 28-digit prices multiply beyond the ambient context's 28 digits."""
    quantity, price = D("123456789012.123456789012"), D("987654.123456789012")
    assert notional_of(quantity=quantity, price=price) == D("121932606736558533.76022037")
