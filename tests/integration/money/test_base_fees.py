"""Fees that a venue keeps in what was bought: less is held, no cash is paid, all can be sold (EXE-5)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocation.models import CapitalAccount
from execution.models import Fill
from positions.audit import books_audit
from positions.booking import fill_book
from positions.domain.booking import Share, quantity_kept, shares_kept
from positions.models import Position
from tests.integration.money.desk import desk_open

STEP = D("0.001")


def kept(quantity: str, fee: str, *, gross: str = "0", fees: str = "0", kept: str = "0") -> D:
    return quantity_kept(
        quantity=D(quantity), fee=D(fee), gross=D(gross), fees=D(fees), kept=D(kept), step=STEP
    )


def test_the_worked_example() -> None:
    """EXE-5: the rest of a step is carried from one fill of an order to the next."""
    assert kept("0.010", "0.00001") == D("0.009")
    assert kept("0.010", "0.00001", gross="0.010", fees="0.00001", kept="0.009") == D("0.010")
    assert kept("0.001", "0.000001") == D("0.000999")
    assert kept("0.004", "0.000004", gross="0.001", fees="0.000001", kept="0.000999") == D("0.003001")


@given(fills=st.lists(st.integers(min_value=2, max_value=500), min_size=1, max_size=8))
def test_what_is_held_is_there_and_can_be_sold(fills: list[int]) -> None:
    """EXE-5: never more than the account shows, never a whole step less, always in whole steps."""
    gross = fees = held = D(0)
    for steps in fills:
        quantity = steps * STEP
        fee = quantity * STEP
        part = quantity_kept(quantity=quantity, fee=fee, gross=gross, fees=fees, kept=held, step=STEP)
        assert 0 < part <= quantity
        gross, fees, held = gross + quantity, fees + fee, held + part
        assert 0 <= gross - fees - held < STEP
        assert held % STEP == 0


def test_shares_sum_to_what_is_kept() -> None:
    """BEY-1: pro rata, to the last decimal."""
    shares = [Share(0, D("0.006"), D(6), D(0)), Share(1, D("0.004"), D(4), D(0))]
    parts = [one.quantity for one in shares_kept(shares=shares, quantity=D("0.009"))]
    assert parts == [D("0.0054"), D("0.0036")]


@pytest.mark.django_db
def test_books_after_a_purchase_and_a_sale() -> None:
    """EXE-5: 0.1 BTC bought at 100 with 0.0001 kept as the fee: cash −10, 0.0999 held at 10; then sold."""
    desk = desk_open(policy="spot")
    cash = CapitalAccount.objects.get(pk=desk.pk).cash
    parts = {desk.follows[0].pk: "0.06", desk.follows[1].pk: "0.04"}
    order = desk.order("BUY", "0.1", "100", slices=parts)
    fill = replace(desk.fill(order, "0.1", "100", fee="0.01"), fee_base_quantity=D("0.0001"))
    assert fill_book(order_id=order.pk, fill=fill, now=desk.now) is not None
    position = Position.objects.get(portfolio_id=desk.pk)
    assert (position.quantity, position.cost, position.fees) == (D("0.0999"), D(10), D(0))
    assert CapitalAccount.objects.get(pk=desk.pk).cash == cash - 10
    order.refresh_from_db()
    row = Fill.objects.get()
    assert (order.status, order.filled_quantity, row.fee) == ("filled", D("0.1"), D(0))
    assert (row.fee_quantity, row.booked_quantity) == (D("0.0001"), D("0.0999"))
    findings = books_audit(portfolio_id=desk.pk)
    assert [one for one in findings if not one.kind.startswith("paper_")] == [], "no paper venue made these"
    slices = {part.follow_id: f"-{part.quantity}" for part in position.slices.all()}
    sale = desk.order("SELL", "0.0999", "100", reduce_only=True, slices=slices)
    fill_book(order_id=sale.pk, fill=desk.fill(sale, "0.0999", "100", fee="0.00999"), now=desk.now)
    position.refresh_from_db()
    assert (position.quantity, position.status, position.realized_pnl) == (D(0), "closed", D("-0.01"))
    assert CapitalAccount.objects.get(pk=desk.pk).cash == cash - D("0.01") - D("0.00999")
