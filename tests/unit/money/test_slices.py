"""Random histories of slices, without a database: Σ slices = position, whatever happens (BEY-1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.decimals import split_pro_rata
from positions.domain.booking import (
    Book,
    fill_apply,
    fill_shares,
    notional_of,
    unrealized_pnl,
)

QUANTITY = st.decimals(min_value="-30", max_value="30", places=5).filter(lambda q: q != 0)
PRICE = st.decimals(min_value="0.01", max_value="120000", places=2)
FEE = st.decimals(min_value="0", max_value="9", places=8)
ORDER = st.tuples(
    st.just("order"),
    st.lists(QUANTITY, min_size=4, max_size=4),
    PRICE,
    FEE,
    st.lists(st.integers(1, 9), max_size=3),
)
TRANSFER = st.tuples(
    st.just("transfer"), st.integers(0, 3), st.integers(1, 3), st.decimals("0.00001", "30", places=5), PRICE
)
HANDOVER = st.tuples(st.just("handover"), st.integers(1, 3))
STEPS = st.lists(st.one_of(ORDER, TRANSFER, HANDOVER), min_size=1, max_size=12)


@dataclass
class Books:
    """A net position and four slices; slice 0 is the owner's."""

    net: Book = field(default_factory=Book)
    realized: D = D(0)
    fees: D = D(0)
    slices: list[Book] = field(default_factory=lambda: [Book() for _ in range(4)])
    slice_realized: list[D] = field(default_factory=lambda: [D(0)] * 4)
    slice_fees: list[D] = field(default_factory=lambda: [D(0)] * 4)

    def into_slice(self, index: int, quantity: D, notional: D) -> None:
        booked = fill_apply(book=self.slices[index], quantity=quantity, notional=notional)
        self.slices[index] = booked.book
        self.slice_realized[index] += booked.realized

    def order(self, parts: list[D], price: D, fee: D, pieces: list[int]) -> None:
        whole = sum(parts, D(0))
        if whole == 0:
            return
        sign = 1 if whole > 0 else -1
        filled = D(0)
        # One piece more than is filled: what the last one stands for is cancelled.
        for quantity in split_pro_rata(whole, [D(p * sign) for p in [*pieces, 5]], step=D("0.00001"))[:-1]:
            if quantity * sign <= 0:
                continue
            notional = notional_of(quantity=quantity, price=price)
            booked = fill_apply(book=self.net, quantity=quantity, notional=notional)
            self.net, self.realized, self.fees = booked.book, self.realized + booked.realized, self.fees + fee
            shares = fill_shares(
                slices=parts, filled_before=filled, quantity=quantity, notional=notional, fee=fee
            )
            for share in shares:
                self.into_slice(share.index, share.quantity, share.notional)
                self.slice_fees[share.index] += share.fee
            filled += quantity

    def transfer(self, seller: int, away: int, quantity: D, mark: D) -> None:
        buyer = (seller + away) % 4
        notional = notional_of(quantity=quantity, price=mark)
        self.into_slice(seller, -quantity, -notional)
        self.into_slice(buyer, quantity, notional)

    def handover(self, index: int) -> None:
        part = self.slices[index]
        if part.quantity:
            self.into_slice(index, -part.quantity, -part.cost)
            self.into_slice(0, part.quantity, part.cost)

    def check(self) -> None:
        assert sum(part.quantity for part in self.slices) == self.net.quantity
        assert sum(self.slice_fees) == self.fees
        result = self.realized - self.net.cost
        assert sum(self.slice_realized) - sum(part.cost for part in self.slices) == result
        mark = D("71.37")
        worth = self.realized + unrealized_pnl(quantity=self.net.quantity, cost=self.net.cost, mark=mark)
        parts = sum(self.slice_realized) + sum(
            notional_of(quantity=part.quantity, price=mark) - part.cost for part in self.slices
        )
        assert abs(worth - parts) <= D("0.00000002"), "rounding of four products, nothing else"


def walk(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    books = Books()
    for kind, *arguments in steps:
        getattr(books, kind)(*arguments)
        books.check()


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_slices_sum_to_the_position_in_random_histories(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """BEY-1: orders filled in pieces and cancelled, transfers, hand-overs; exact after every step."""
    walk(steps)


@pytest.fixture
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if "exhaustive" not in request.config.getoption("-m"):
        pytest.skip("10,000 histories take minutes: pytest -m exhaustive")


@pytest.mark.exhaustive
@pytest.mark.usefixtures("_only_when_asked")
@given(STEPS)
@settings(max_examples=10_000, deadline=None)
def test_slices_sum_to_the_position_in_ten_thousand_histories(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """BEY-1: the full number; `pytest -m exhaustive` runs it."""
    walk(steps)
