"""Random histories against the real database: the audit stays clean (ALL-5, BEY-1, OPS-2)."""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal as D
from functools import partial
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocation.cash import cash_deposit, cash_withdraw
from allocation.models import Reservation
from allocation.reservations import capital_release, capital_reserve, reservations_expire
from core.errors import InputError
from execution.models import Order
from execution.orders import order_cancel, order_submit
from positions.audit import books_audit
from positions.booking import fill_book
from positions.funding import positions_fund
from positions.models import Position, PositionSlice
from positions.services import order_sync
from positions.transfers import slices_hand_over, transfers_book
from positions.valuation import portfolio_equity, portfolio_withdrawable, valuations_update
from tests.integration.money.desk import WORLD, Desk, desk_open

pytestmark = pytest.mark.django_db

SIZE = st.integers(1, 1500)  # in steps of 0.0001 BTC; a mark shows a depth of about 0.1
PRICE = st.integers(60_000, 138_000)
TICKS = st.lists(PRICE, max_size=3)  # what the market does after an order
SPLIT = st.integers(0, 10)
ENTER = st.tuples(st.just("enter"), st.sampled_from(["BUY", "SELL"]), SIZE, SPLIT, TICKS)
LEAVE = st.tuples(st.just("leave"), SIZE, SPLIT, TICKS)
STEP = st.one_of(
    ENTER,
    ENTER,
    LEAVE,
    LEAVE,
    st.tuples(st.just("fill_late"), SIZE, st.sampled_from(["0.123", "-0.05", "45000"])),
    st.tuples(st.just("tick"), PRICE),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("transfer"), SIZE, st.booleans()),
    st.tuples(st.just("hand_over"), st.booleans()),
    st.tuples(st.just("hours"), st.integers(1, 30)),
    st.tuples(st.just("cash"), st.integers(-5000, 5000)),
    st.tuples(st.just("grant"), st.integers(1, 20_000), st.booleans()),
)
_names = count()
_keys = count()


class Walk:
    """One portfolio and the hands that do things to it. What cannot be done is refused, never half done."""

    def __init__(self, policy: str) -> None:
        self.desk = desk_open(policy=policy, cash="50000", name=f"Walk {next(_names)}")
        self.desk.mark("100000")

    @property
    def open_orders(self) -> list[Order]:
        return list(Order.objects.filter(portfolio=self.desk.portfolio, status__in=Order.OPEN_STATUSES))

    def parts(self, signed: D, split: int) -> dict[int | None, str]:
        first = (signed * split / 10).quantize(D("0.00001"))
        keys = (self.desk.follows[0].pk, self.desk.follows[1].pk)
        return {key: str(part) for key, part in zip(keys, (first, signed - first), strict=True) if part}

    def enter(self, side: str, size: int, split: int, ticks: list[int]) -> None:
        quantity = D(size) / 10000
        if side == "SELL" and self.desk.portfolio.policy == "spot":
            return
        price = "140000" if side == "BUY" else "59000"
        if capital_denied(self.desk, quantity * D(price)):
            return
        signed = quantity if side == "BUY" else -quantity
        order = self.desk.order(side, str(quantity), price, slices=self.parts(signed, split), margin_rate="1")
        order_submit(order_id=order.pk, now=self.desk.now)
        for mark in ticks:
            self.tick(mark)

    def leave(self, size: int, split: int, ticks: list[int]) -> None:
        position = Position.objects.filter(portfolio=self.desk.portfolio).exclude(status="closed").first()
        if position is None or not position.quantity:
            return
        quantity = min(D(size) / 10000, abs(position.quantity))
        side = "SELL" if position.quantity > 0 else "BUY"
        signed = -quantity if side == "SELL" else quantity
        purpose = "close" if quantity == abs(position.quantity) else "reduce"
        order = self.desk.order(
            side, str(quantity), "59000" if side == "SELL" else "140000", slices=self.parts(signed, split),
            reduce_only=True, purpose=purpose,
        )  # fmt: skip
        order_submit(order_id=order.pk, now=self.desk.now)
        for mark in ticks:
            self.tick(mark)

    def fill_late(self, size: int, fee: str) -> None:
        """A venue tells of an execution of an order that is over, at times with an absurd fee."""
        order = Order.objects.filter(portfolio=self.desk.portfolio, side="BUY").exclude(
            status__in=Order.OPEN_STATUSES
        ).first()  # fmt: skip
        if order is not None:
            fill = self.desk.fill(order, str(D(size) / 10000), "101000", fee, f"late-{next(_keys)}")
            fill_book(order_id=order.pk, fill=fill, now=self.desk.now)

    def tick(self, price: int) -> None:
        self.desk.later(2)
        self.desk.mark(str(price))
        self.desk.match()
        for order in self.open_orders:
            order_sync(order_id=order.pk, now=self.desk.now)

    def cancel(self) -> None:
        for order in self.open_orders[:1]:
            order_cancel(order_id=order.pk, now=self.desk.now)
            order_sync(order_id=order.pk, now=self.desk.now)

    def transfer(self, size: int, to_owner: bool) -> None:
        one, two = (follow.pk for follow in self.desk.follows)
        transfers_book(
            portfolio=self.desk.portfolio, instrument_code="BTC", underlying="BTC",
            pairs=[(one, None if to_owner else two, D(size) / 10000)], mark=D(99_999), margin_rate=D(1),
            run=1, now=self.desk.now, world_at=self.desk.now,
        )  # fmt: skip

    def hand_over(self, first: bool) -> None:
        slices_hand_over(follow=self.desk.follows[0 if first else 1], now=self.desk.now)

    def hours(self, number: int) -> None:
        at = self.desk.later(number * 3600)
        positions_fund(portfolio_id=self.desk.pk, world=WORLD, now=at, world_at=at)

    def cash(self, amount: int) -> None:
        equity = portfolio_equity(portfolio=self.desk.portfolio)
        spare = portfolio_withdrawable(portfolio=self.desk.portfolio)
        move = cash_deposit if amount > 0 else partial(cash_withdraw, withdrawable=spare)
        possible = equity > 0 if amount > 0 else abs(amount) <= min(self.desk.account.free, spare)
        with nullcontext() if possible and amount else pytest.raises(InputError):
            move(
                portfolio=self.desk.portfolio,
                amount=D(abs(amount)),
                equity=equity,
                key=f"k{next(_keys)}",
                now=self.desk.now,
                world_at=self.desk.now,
            )

    def grant(self, amount: int, give_back: bool) -> None:
        capital_reserve(
            portfolio_id=self.desk.pk, amount=D(amount), source="walk", instrument_code="BTC",
            now=self.desk.now, timeout_s=30,
        )  # fmt: skip
        if give_back:
            for granted in Reservation.objects.filter(portfolio=self.desk.portfolio, status="granted"):
                capital_release(reservation_id=granted.pk, now=self.desk.now)
        else:
            reservations_expire(now=self.desk.now)

    def check(self) -> None:
        for position in Position.objects.filter(portfolio=self.desk.portfolio):
            parts = PositionSlice.objects.filter(position=position)
            assert sum((part.quantity for part in parts), D(0)) == position.quantity
        account = self.desk.account
        assert account.free == 0 or account.deficit == 0


def capital_denied(desk: Desk, needed: D) -> bool:
    return desk.account.free < needed * D("1.001") + 1


@pytest.mark.parametrize("policy", ["perp", "spot"])
@given(steps=st.lists(STEP, min_size=6, max_size=16))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_books_stay_clean(policy: str, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """ALL-5, BEY-1: whatever order things come in, every record agrees with its counterpart."""
    walk = Walk(policy)
    for name, *arguments in steps:
        before = walk.desk.account
        if policy == "spot" and name == "transfer" and not holds(walk, arguments[0]):
            continue
        getattr(walk, name)(*arguments)
        walk.check()
        assert walk.desk.account.version >= before.version
    valuations_update(portfolio_ids=[walk.desk.pk], now=walk.desk.now)
    findings = books_audit(portfolio_id=walk.desk.pk)
    assert {finding.kind for finding in findings} <= {"paper_fill_was_made"}, findings


def holds(walk: Walk, size: int) -> bool:
    part = PositionSlice.objects.filter(
        position__portfolio=walk.desk.portfolio, follow=walk.desk.follows[0]
    ).exclude(position__status="closed").first()  # fmt: skip
    return part is not None and part.quantity >= D(size) / 10000
