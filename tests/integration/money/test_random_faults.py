"""Random lives of orders at a venue that fails at random: in the end all of it settles (EXE-3, EXE-6)."""

from __future__ import annotations

import random
from decimal import Decimal as D

import pytest

from engine.models import CycleState
from engine.order_life import orders_call_back, orders_work
from engine.recovery import portfolio_reconcile
from execution.models import Fill, Order, PaperFault, PaperFill, PaperHolding, PaperOrder, VenueOrphan
from execution.orders import entries_bar
from execution.venues.paper_faults import MEANINGFUL, fault_tell
from positions.audit import books_audit
from positions.models import Position
from tests.integration.money.desk import Desk, desk_open

pytestmark = pytest.mark.django_db
STEPS = 60
SETTLING_S = 480  # an order that the venue forgot is held for 6 minutes


class Life:
    """One portfolio, one venue, and what happens to them by a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.desk: Desk = desk_open(policy="perp", cash="100000")
        CycleState.objects.create(portfolio=self.desk.portfolio)
        self.price = D(100000)
        self.desk.mark("100000")

    def step(self) -> None:
        """Do one thing, or let time pass."""
        self.dice.choice(
            [self.enter, self.enter, self.leave, self.cancel, self.fail, self.work, self.work, self.settle]
        )()
        self.pass_time(self.dice.choice([0.3, 1, 1, 3, 11]))

    def pass_time(self, seconds: float) -> None:
        self.desk.later(seconds)
        self.price = (self.price * D(self.dice.randint(9990, 10010)) / 10000).quantize(D(1))
        self.desk.mark(str(self.price))

    def enter(self) -> None:
        if entries_bar(portfolio_id=self.desk.pk, now=self.desk.now):
            return
        side = self.dice.choice(["BUY", "SELL"])
        limit = self.price + (100 if side == "BUY" else -100)
        quantity = self.dice.choice(["0.001", "0.01", "0.12"])  # the last takes more than one mark
        sign = "" if side == "BUY" else "-"
        self.desk.order(side, quantity, str(limit), slices={self.desk.follows[0].pk: f"{sign}{quantity}"})

    def leave(self) -> None:
        position = Position.objects.exclude(status="closed").exclude(quantity=0).first()
        if position is None:
            return
        side = "SELL" if position.quantity > 0 else "BUY"
        limit = self.price * (D("0.95") if side == "SELL" else D("1.05"))
        quantity = abs(position.quantity)
        self.desk.order(side, str(quantity), str(limit.quantize(D(1))), reduce_only=True)

    def cancel(self) -> None:
        ids = list(Order.objects.filter(status__in=Order.OPEN_STATUSES).values_list("pk", flat=True))
        if ids:
            orders_call_back(order_ids=[self.dice.choice(ids)], why="By chance", now=self.desk.now)

    def fail(self) -> None:
        operation = self.dice.choice(sorted(MEANINGFUL))
        kind = self.dice.choice(sorted(MEANINGFUL[operation]))
        at_once = operation != "match"  # nobody waits in a test: only an execution is told late
        delay_s = 0 if at_once else self.dice.choice([2, 30])
        fault_tell(operation=operation, kind=kind, times=self.dice.randint(1, 3), delay_s=delay_s)

    def work(self) -> None:
        orders_work(now=self.desk.now)

    def settle(self) -> None:
        portfolio_reconcile(portfolio_id=self.desk.pk, now=self.desk.now)

    def end(self) -> None:
        """Let the venue work again, and time pass."""
        PaperFault.objects.all().delete()
        for _ in range(SETTLING_S // 30):
            self.pass_time(30)
            self.work()
            self.settle()


def all_is_settled(life: Life) -> None:
    """No order hangs, no execution is lost or doubled, and every record agrees with its counterpart."""
    assert not Order.objects.filter(status__in=Order.OPEN_STATUSES).exists()
    assert not PaperOrder.objects.filter(status="open").exists()
    assert entries_bar(portfolio_id=life.desk.pk, now=life.desk.now) == ""
    assert set(Fill.objects.values_list("venue_fill_id", flat=True)) == {
        str(pk) for pk in PaperFill.objects.values_list("pk", flat=True)
    }
    assert Fill.objects.count() == PaperFill.objects.count()
    held = PaperHolding.objects.first()
    position = Position.objects.exclude(status="closed").first()
    assert (held.quantity if held else 0) == (position.quantity if position else 0)
    margin = position.margin if position else 0
    assert (life.desk.account.committed, life.desk.account.reserved) == (margin, 0)
    assert not VenueOrphan.objects.exists()
    assert books_audit() == []


@pytest.mark.parametrize("seed", range(3))
def test_a_random_life_settles(seed: int) -> None:
    """EXE-3, EXE-6: sixty random moments, then the venue works again."""
    life = Life(seed)
    for _ in range(STEPS):
        life.step()
    life.end()
    all_is_settled(life)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(3, 60))
def test_many_random_lives_settle(seed: int, request: pytest.FixtureRequest) -> None:
    """EXE-3, EXE-6: the same, many times."""
    if "exhaustive" not in request.config.getoption("-m"):
        pytest.skip("sixty lives take minutes: pytest -m exhaustive")
    test_a_random_life_settles(seed)
