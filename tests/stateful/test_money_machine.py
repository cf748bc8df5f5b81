"""Random lives of a portfolio's money: reservations, orders, commands, breakers (CAP-2, EXE-3, RSK-2).

Where ``test_invariants`` walks the copying of traders, this machine walks what its owner, other programs
and the breakers do to the same books, in long sequences. Every example lives in a transaction of its own
that is rolled back. ``MONEY_EXAMPLES`` takes fewer or more of them; under CI they are always the same.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import AuditEntry, Portfolio
from allocation.models import BreakerTrip, CapitalAccount, Reservation
from allocation.reservations import capital_release, capital_request
from core.errors import InputError
from engine.commands import command_accept, command_run, commands_due
from engine.models import Command
from engine.upkeep import reservations_sweep
from execution.models import Order
from positions.models import Position
from tests.stateful.desk import START, Desk
from tests.stateful.stage import SOURCE, VENUE
from tests.stateful.weather import Weather
from tests.stateful.worlds import MadeUpWorld

EXAMPLES = int(os.environ.get("MONEY_EXAMPLES", "100"))
BATCHES = 4
STEPS = 50
LONGEST_ENTRY_S = 620
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

index = st.integers(0, 11)
codes = st.sampled_from(["BTC", "ETH", "DOGE", "kPEPE"])
amounts = st.sampled_from(["0.00000001", "12", "400", "2500", "9000"]).map(Decimal)
notionals = st.sampled_from(["1", "15", "300", "2000"]).map(Decimal)
offsets = st.sampled_from(["-0.05", "-0.0005", "0", "0.0005", "0.002"]).map(Decimal)
factors = st.sampled_from(["0.7", "0.93", "0.999", "1", "1.001", "1.05", "1.4"]).map(Decimal)
weathers = st.sampled_from([Weather.CLEAR] * 5 + list(Weather))


class MoneyLife(RuleBasedStateMachine):
    """Owner, programs, breakers, prices and venue take turns; every promise is checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self._block = transaction.atomic()
        self._block._from_testcase = True  # as in Django's TestCase: durable transactions may begin inside
        self._block.__enter__()
        VENUE.begin()
        self.desk: Desk
        self._wishes = 0

    def teardown(self) -> None:
        """Bring everything to its end, then forget it."""
        try:
            if hasattr(self, "desk"):
                self._end()
        finally:
            transaction.set_rollback(True)
            self._block.__exit__(None, None, None)

    def _end(self) -> None:
        VENUE.weather = Weather.CLEAR
        self.desk.work(seconds=LONGEST_ENTRY_S)  # an entry whose outcome is unknown is held until its own end
        for _ in range(8):
            self._commands_run()
            self.desk.work(seconds=15)
        self.desk.calm()
        assert not Command.objects.filter(status__in=["accepted", "running"]).exists(), "all were answered"

    @initialize(
        policy=st.sampled_from(["spot", "perp"]),
        risk_profile=st.sampled_from(["balanced", "aggressive"]),
        follow=st.booleans(),
    )
    def open(self, policy: str, risk_profile: str, follow: bool) -> None:
        """Open a portfolio, which may follow somebody."""
        owner = get_user_model().objects.create_user(email="money@example.com", password="correct horse")
        play = MadeUpWorld(now=START)
        SOURCE.play = play
        self.desk = Desk(
            owner=owner, play=play, venue=VENUE, cash="10000", policy=policy, risk_profile=risk_profile,
            conflict_rule="combine",
        )  # fmt: skip
        play.trader_move(key=play.keys[0], moves=[("BTC", Decimal("0.2"))] if follow else [], hours=0)
        self.desk.follow(key=play.keys[0], join_mode="include_open")
        play.pass_time(seconds=1)
        self.desk.settle()

    # ---------------------------------------------------------------- reservations
    @rule(
        amount=amounts,
        priority=st.integers(0, 3),
        wait_s=st.sampled_from([0, 0, 20, 300]),
        again=st.booleans(),
    )
    def ask_for_capital(self, amount: Decimal, priority: int, wait_s: int, again: bool) -> None:
        """CAP-1: a request is granted, waits or is denied; asked again with its key it is the same."""
        self._wishes += 1
        asked = {
            "portfolio_id": self.desk.portfolio.pk,
            "amount": amount,
            "source": "program",
            "instrument_code": "BTC",
            "now": self.desk.play.now,
            "timeout_s": 30,
            "priority": priority,
            "wait_s": wait_s,
            "client_key": f"request {self._wishes}",
        }
        answer = capital_request(**asked)
        assert answer.status in {"granted", "waiting", "denied"}
        assert bool(answer.reason) is (answer.status == "denied")
        if again:
            assert capital_request(**asked).pk == answer.pk

    @rule(which=index)
    def give_back(self, which: int) -> None:
        """A grant comes back once; whoever waits is served."""
        open_ones = Reservation.objects.filter(status__in=["granted", "waiting"], source="program")
        ids = list(open_ones.order_by("requested_at", "pk").values_list("pk", flat=True))
        if ids:
            chosen = ids[which % len(ids)]
            assert capital_release(reservation_id=chosen, now=self.desk.play.now)
            assert not capital_release(reservation_id=chosen, now=self.desk.play.now)

    @rule(seconds=st.sampled_from([5, 31, 301]))
    def run_out(self, seconds: int) -> None:
        """CAP-2: grants that nobody used come back by themselves."""
        self.desk.play.pass_time(seconds=seconds)
        self.desk.keep()
        now = self.desk.play.now
        assert not Reservation.objects.filter(status="granted", expires_at__lte=now).exists()
        assert not Reservation.objects.filter(status="waiting", wait_until__lte=now).exists()

    # ---------------------------------------------------------------- commands
    @rule(code=codes, notional=notionals, offset=offsets, twice=st.booleans())
    def enter(self, code: str, notional: Decimal, offset: Decimal, twice: bool) -> None:
        """VIEW-3: the owner places a limit entry; pressed twice it is placed once."""
        price = self.desk.play.prices[code] * (1 + offset)
        quantity = notional / price
        self._command("entry", twice, **self._entry(code, quantity, price))

    @staticmethod
    def _entry(code: str, quantity: Decimal, price: Decimal) -> dict[str, Any]:
        return {
            "instrument": code,
            "side": "BUY",
            "quantity": f"{quantity:.5f}",
            "limit_price": f"{price:.6f}",
        }

    @precondition(lambda self: self._positions())
    @rule(
        which=index,
        percent=st.sampled_from(["0.0001", "30", "50", "100"]),
        market=st.booleans(),
        twice=st.booleans(),
    )
    def close(self, which: int, percent: str, market: bool, twice: bool) -> None:
        positions = self._positions()
        position_id = positions[which % len(positions)].pk
        self._command("close", twice, position_id=position_id, percent=percent, market=market)

    @rule(which=index, twice=st.booleans())
    def cancel(self, which: int, twice: bool) -> None:
        orders = list(Order.objects.order_by("-pk")[:6])
        if orders:
            self._command("cancel", twice, order_id=orders[which % len(orders)].pk)

    @rule(mode=st.sampled_from(["multi", "single", "hybrid"]))
    def mode(self, mode: str) -> None:
        self._command("mode", twice=False, trading_mode=mode)

    @precondition(lambda self: self._trips())
    @rule(which=index)
    def reset_breaker(self, which: int) -> None:
        trips = self._trips()
        self._command("breaker_reset", False, trip_id=trips[which % len(trips)].pk, reason="looked at it")

    @rule(chance=st.integers(0, 5), twice=st.booleans())
    def emergency_stop(self, chance: int, twice: bool) -> None:
        if chance == 0:
            name = self.desk.portfolio.name
            self._command("emergency_stop", twice, confirm=name, reason="a walk")

    @precondition(lambda self: self._trips())
    @rule(even_open=st.booleans())
    def resume(self, even_open: bool) -> None:
        self._command("resume", False, reason="goes on", even_open=even_open)

    @rule(switch=st.sampled_from(["dry_run", "approves_conflicts"]), on=st.booleans())
    def switch(self, switch: str, on: bool) -> None:
        self._command("mode", False, **{switch: on})

    @rule()
    def drill(self) -> None:
        """BEY-8: a drill measures and leaves no trace in the books."""
        before = CapitalAccount.objects.filter(portfolio=self.desk.portfolio).values().get()
        orders = Order.objects.count()
        self._command("drill", False)
        assert CapitalAccount.objects.filter(portfolio=self.desk.portfolio).values().get() == before
        assert Order.objects.count() == orders

    @rule(weather=weathers)
    def commands_work(self, weather: Weather) -> None:
        """The worker of commands has its turn."""
        VENUE.weather = weather
        self._commands_run()

    # ---------------------------------------------------------------- the world
    @rule(by=st.tuples(factors, factors, factors, factors), hours=st.sampled_from([0, 0, 1, 25]))
    def prices(self, by: tuple[Decimal, ...], hours: float) -> None:
        """RSK-2: prices move, and what that does to breakers, margin and the day is looked at."""
        self.desk.play.prices_move(factors=by)
        self.desk.play.pass_time(seconds=hours * 3600 + 1)
        self.desk.keep()

    @rule(exposure=st.sampled_from(["0", "0.1", "0.4", "-0.3"]).map(Decimal), code=codes)
    def trader_moves(self, exposure: Decimal, code: str) -> None:
        self.desk.play.trader_move(key=self.desk.play.keys[0], moves=[(code, exposure)], hours=0)
        self.desk.play.pass_time(seconds=11)
        self.desk.sync()
        self.desk.plan_due()

    @rule(seconds=st.sampled_from([0.1, 1, 12, 61]), marks=st.booleans(), weather=weathers)
    def work(self, seconds: float, marks: bool, weather: Weather) -> None:
        VENUE.weather = weather
        self.desk.work(seconds=seconds, marks=marks)
        reservations_sweep(
            now=self.desk.play.now
        )  # as beat does: who waits behind one that gave up is served

    # ---------------------------------------------------------------- promises
    @invariant()
    def every_promise_holds(self) -> None:
        """ALL-5, CAP-1, CAP-2, EXE-3, EXE-7, RSK-2, OPS-2, SEC-2."""
        if not hasattr(self, "desk"):
            return
        self.desk.check()
        portfolio = self.desk.portfolio
        account = CapitalAccount.objects.get(portfolio=portfolio)
        granted = Reservation.objects.filter(portfolio=portfolio, status="granted")
        assert account.reserved == (granted.aggregate(total=Sum("amount"))["total"] or 0)
        self._queue_is_served(account)
        self._status_is_the_strictest(portfolio)
        self._commands_are_kept(portfolio)

    def _queue_is_served(self, account: CapitalAccount) -> None:
        """Nobody waits for what is free, but while the portfolio is stopped, nor before a higher priority."""
        waiting = Reservation.objects.filter(status="waiting", wait_until__gt=self.desk.play.now)
        first = waiting.order_by("priority", "requested_at", "pk").first()
        stopped = account.portfolio.status != Portfolio.Status.ACTIVE
        assert first is None or stopped or first.amount > account.free

    @staticmethod
    def _status_is_the_strictest(portfolio: Portfolio) -> None:
        effects = set(
            BreakerTrip.objects.filter(portfolio=portfolio, reset_at__isnull=True).values_list(
                "effect", flat=True
            )
        )
        expected = "halted" if "halted" in effects else "reducing" if "reducing" in effects else "active"
        assert portfolio.status == expected

    @staticmethod
    def _commands_are_kept(portfolio: Portfolio) -> None:
        """Each command was accepted once and ended at most once, in the audit log too."""
        for command in Command.objects.filter(portfolio=portfolio):
            entries = AuditEntry.objects.filter(command_id=command.pk)
            outcomes = sorted(entries.values_list("outcome", flat=True))
            ended = [] if command.finished_at is None else [command.status]
            assert outcomes == sorted(["accepted", *ended])

    # ---------------------------------------------------------------- helpers
    def _positions(self) -> list[Position]:
        return list(Position.objects.exclude(status="closed").order_by("pk"))

    def _trips(self) -> list[BreakerTrip]:
        return list(BreakerTrip.objects.filter(reset_at__isnull=True).order_by("pk"))

    def _command(self, kind: str, twice: bool, **data: Any) -> None:
        """Ask for something, perhaps twice with one key; what cannot be is refused and changes nothing."""
        self._wishes += 1
        asked = {
            "portfolio": self.desk.portfolio,
            "kind": kind,
            "data": data,
            "key": f"wish {self._wishes}",
            "asked_by": self.desk.portfolio.owner,
            "via": "api",
            "now": self.desk.play.now,
        }
        before = CapitalAccount.objects.filter(portfolio=self.desk.portfolio).values().get()
        try:
            command = command_accept(**asked)
        except InputError:
            assert CapitalAccount.objects.filter(portfolio=self.desk.portfolio).values().get() == before
            return
        if twice:
            assert command_accept(**asked).pk == command.pk
        command_run(command_id=command.pk, now=self.desk.play.now)

    def _commands_run(self) -> None:
        self.desk.play.pass_time(seconds=1)
        ids: list[UUID] = commands_due(now=self.desk.play.now)
        for command_id in ids:
            command_run(command_id=command_id, now=self.desk.play.now)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_lives_of_money_keep_every_promise(batch: int, scripted: None) -> None:
    """CAP-2, EXE-3, RSK-2: reservations, orders, fills, cancels, breakers and commands at random."""
    machine = type("MoneyLife", (MoneyLife,), {})
    run_state_machine_as_test(
        seed(batch)(machine) if IN_CI else machine,
        settings=settings(
            max_examples=max(1, EXAMPLES // BATCHES),
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=not IN_CI,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
