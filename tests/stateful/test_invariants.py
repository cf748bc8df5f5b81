"""Two hundred random sequences of all that can happen to a portfolio, on the real services and database.

Every example lives in a transaction of its own that is rolled back. ``STATEFUL_EXAMPLES`` takes fewer or
more of them; under CI they are always the same.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
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

from execution.orders import order_cancel
from markets.recordings import ALPHA_ARENA, HYPERLIQUID_WALLETS
from tests.stateful.desk import START, Desk
from tests.stateful.stage import SOURCE, VENUE
from tests.stateful.weather import Weather
from tests.stateful.worlds import CODES, LIES, MadeUpWorld, Play, RecordedWorld

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "200"))
BATCHES = 4  # so that several test processes share them
STEPS = 7
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

index = st.integers(0, 11)
amounts = st.sampled_from(["0.00000001", "37.5", "1000", "25000"]).map(Decimal)
exposures = st.sampled_from(["0", "0", "0.001", "0.1", "0.5", "1.5", "-0.1", "-0.5", "-1.5"]).map(Decimal)
moves = st.lists(st.tuples(st.sampled_from(CODES), exposures), min_size=1, max_size=4)
entries = st.lists(st.tuples(st.sampled_from(CODES), exposures.filter(bool)), min_size=2, max_size=4)
factors = st.sampled_from(["0.5", "0.93", "0.999", "1", "1.0005", "1.01", "1.08", "1.7"]).map(Decimal)
rules = st.sampled_from(["combine", "largest", "first"])
turns = st.sampled_from(["0", "0", "0.5", "-1", "-1", "2"]).map(Decimal)
join_modes = st.sampled_from(["new_only", "include_open", "include_open"])
profiles = st.sampled_from(["conservative", "balanced", "aggressive"])
weathers = st.sampled_from([Weather.CLEAR] * 5 + list(Weather))
paces = st.sampled_from(["nothing", "plan", "plan", "work", "settle", "settle"])
underlyings = st.sampled_from(["BTC", "ETH", "DOGE", "PEPE"])


class PortfolioLife(RuleBasedStateMachine):
    """Owner, traders, prices, venue and workers take turns; every promise is checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self._block = transaction.atomic()
        self._block._from_testcase = True  # as in Django's TestCase: durable transactions may begin inside
        self._block.__enter__()
        VENUE.begin()
        self.desk: Desk

    def teardown(self) -> None:
        """Bring everything to its end, then forget it."""
        try:
            if hasattr(self, "desk"):
                self.desk.calm()
        finally:
            transaction.set_rollback(True)
            self._block.__exit__(None, None, None)

    @initialize(
        world=st.sampled_from(["made up", "made up", ALPHA_ARENA, HYPERLIQUID_WALLETS]),
        policy=st.sampled_from(["spot", "perp"]),
        risk_profile=profiles,
        conflict_rule=rules,
        auto_rebalance=st.booleans(),
        cash=st.sampled_from(["300", "10000", "10000", "250000"]),
        first=entries,
        second=entries,
        join_mode=join_modes,
    )
    def open(self, world: str, first: Any, second: Any, join_mode: str, **fields: Any) -> None:
        """Open a portfolio that follows two traders, who hold something."""
        owner = get_user_model().objects.create_user(email="sequence@example.com", password="correct horse")
        play: Play = MadeUpWorld(now=START) if world == "made up" else RecordedWorld(name=world, now=START)
        SOURCE.play = play if isinstance(play, MadeUpWorld) else None
        self.desk = Desk(owner=owner, play=play, venue=VENUE, **fields)
        for number, moved in enumerate((first, second)):
            play.trader_move(key=play.keys[number], moves=moved, hours=3)
            self.desk.follow(key=play.keys[number], join_mode=join_mode)
        self._go_on("settle")

    # ---------------------------------------------------------------- the owner
    @rule(first=index, count=st.sampled_from([1, 1, 2, 10]), join_mode=join_modes, pace=paces)
    def follow(self, first: int, count: int, join_mode: str, pace: str) -> None:
        keys = self.desk.play.keys
        for number in range(min(count, len(keys))):
            self.desk.follow(key=keys[(first + number) % len(keys)], join_mode=join_mode)
        self._go_on(pace)

    @precondition(lambda self: self.desk.follows)
    @rule(which=index, pace=paces)
    def pause_or_resume(self, which: int, pace: str) -> None:
        self.desk.pause_or_resume(self._follow(which))
        self._go_on(pace)

    @precondition(lambda self: self.desk.follows)
    @rule(which=index, keep=st.booleans(), pace=paces)
    def remove(self, which: int, keep: bool, pace: str) -> None:
        self.desk.remove(self._follow(which), keep=keep)
        self._go_on(pace)

    @rule(by=index, amount=amounts, what=st.sampled_from(["deposit", "withdraw", "reset"]), pace=paces)
    def cash_and_order(self, by: int, amount: Decimal, what: str, pace: str) -> None:
        """Move cash, and put the traders in another order."""
        getattr(self.desk, what)(amount)
        ids = [follow.pk for follow in self.desk.follows]
        turn = by % len(ids) if ids else 0
        self.desk.arrange(ids[turn:] + ids[:turn])
        self._go_on(pace)

    @rule(
        fields=st.fixed_dictionaries(
            {},
            optional={
                "conflict_rule": rules,
                "policy": st.sampled_from(["spot", "perp"]),
                "risk_profile": profiles,
                "auto_rebalance": st.booleans(),
                "overrides": st.dictionaries(underlyings, rules, max_size=2),
                "blocked": st.lists(underlyings, max_size=2, unique=True),
            },
        ),
        pace=paces,
    )
    def settings(self, fields: dict[str, Any], pace: str) -> None:
        self.desk.settings(**fields)
        self._go_on(pace)

    # ---------------------------------------------------------------- the owner's own orders
    @precondition(lambda self: self.desk.positions)
    @rule(
        which=index,
        percent=st.sampled_from(["100", "100", "50", "12.5", "0.01"]),
        market=st.booleans(),
        weather=weathers,
        pace=paces,
    )
    def close(self, which: int, percent: str, market: bool, weather: Weather, pace: str) -> None:
        """EXE-8, EXT-1: the owner closes a part of a position, or all of it."""
        VENUE.weather = weather
        position = self.desk.positions[which % len(self.desk.positions)]
        self.desk.ask("close", position_id=position.pk, percent=percent, market=market)
        self._go_on(pace)

    @rule(
        code=st.sampled_from(CODES),
        side=st.sampled_from(["BUY", "BUY", "SELL"]),
        part=factors,
        away=st.sampled_from(["0.97", "0.999", "1", "1.001", "1.03"]).map(Decimal),
        weather=weathers,
        pace=paces,
    )
    def enter(self, code: str, side: str, part: Decimal, away: Decimal, weather: Weather, pace: str) -> None:
        """VIEW-3: the owner places an entry, of about ``part`` × 5 % of 10,000."""
        VENUE.weather = weather
        market = self.desk.market(code)
        if market is not None:
            spec, mark = market
            data = {
                "instrument": code,
                "side": side,
                "quantity": str(spec.quantity(part * 500 / mark) or spec.quantity_step),
                "limit_price": str(spec.price(mark * away, up=False)),
            }
            self.desk.ask("entry", **data)
        self._go_on(pace)

    @precondition(lambda self: self.desk.open_orders)
    @rule(which=index, weather=weathers, pace=paces)
    def cancel(self, which: int, weather: Weather, pace: str) -> None:
        """VIEW-3: the owner calls an order back."""
        VENUE.weather = weather
        orders = self.desk.open_orders
        self.desk.ask("cancel", order_id=orders[which % len(orders)].pk)
        self._go_on(pace)

    # ---------------------------------------------------------------- traders and prices
    @rule(which=index, moved=moves, hours=st.sampled_from([0.5, 6, 30]), weather=weathers, pace=paces)
    def trade(self, which: int, moved: Any, hours: float, weather: Weather, pace: str) -> None:
        """A trader takes positions; how its orders fare depends on the weather."""
        VENUE.weather = weather
        self.desk.play.trader_move(key=self._key(which), moves=moved, hours=hours)
        self._go_on(pace)

    @rule(which=index, factor=turns, weather=weathers, pace=paces)
    def turn(self, which: int, factor: Decimal, weather: Weather, pace: str) -> None:
        """A trader closes, halves, doubles or turns round all it holds."""
        VENUE.weather = weather
        self.desk.play.trader_turn(key=self._key(which), factor=factor)
        self._go_on(pace)

    @precondition(lambda self: isinstance(self.desk.play, MadeUpWorld))
    @rule(which=index, lie=st.sampled_from(LIES), twice=st.booleans(), pace=paces)
    def lie(self, which: int, lie: str, twice: bool, pace: str) -> None:
        """SYN-5: a read that cannot be, or that is odd until a second one says the same."""
        key = self._key(which)
        for _ in range(1 + twice):
            self.desk.play.traders[key].lie = lie
            self.desk.play.pass_time(seconds=6)
            self.desk.play.due(key)
            self.desk.sync()
        self._go_on(pace)

    @precondition(lambda self: isinstance(self.desk.play, MadeUpWorld))
    @rule(by=st.tuples(factors, factors, factors, factors), hours=st.sampled_from([0, 0, 30]), pace=paces)
    def prices(self, by: tuple[Decimal, ...], hours: float, pace: str) -> None:
        """Prices move; what that does to margin and funding is looked at."""
        self.desk.play.prices_move(factors=by)
        self.desk.play.pass_time(seconds=hours * 3600)
        self.desk.keep()
        self._go_on(pace)

    # ---------------------------------------------------------------- venue and workers
    @rule(
        seconds=st.sampled_from([0.1, 1, 12, 61]), marks=st.booleans(), called_back=st.booleans(), which=index
    )
    def work(self, seconds: float, marks: bool, called_back: bool, which: int) -> None:
        """Time passes, perhaps without new prices; an order may be called back by whoever wants it."""
        orders = self.desk.open_orders
        if called_back and orders:
            order_cancel(order_id=orders[which % len(orders)].pk, now=self.desk.play.now, why="Called back")
        self.desk.work(seconds=seconds, marks=marks)

    @rule(told=st.booleans())
    def look(self, told: bool) -> None:
        """The cycle's minute is over; fills that were told late may arrive, also those of ended orders."""
        VENUE.weather = Weather.CLEAR
        if told:
            self.desk.ask_all()
        self.desk.run_begin()
        self.desk.plan_twice()

    @invariant()
    def every_promise_holds(self) -> None:
        """ALL-1, ALL-3, ALL-5, CON-3, EXE-3, EXE-7, FOL-1, OPS-2, VIEW-2, BEY-1, BEY-3."""
        if hasattr(self, "desk"):
            self.desk.check()

    # ---------------------------------------------------------------- helpers
    def _follow(self, which: int) -> Any:
        follows = self.desk.follows
        return follows[which % len(follows)]

    def _key(self, which: int) -> str:
        """Return a followed trader's key, any trader's where nobody is followed."""
        followed = [follow.trader.key for follow in self.desk.follows] or list(self.desk.play.keys)
        return followed[which % len(followed)]

    def _go_on(self, pace: str) -> None:
        if pace == "nothing":
            return
        self.desk.play.pass_time(seconds=1)
        if pace == "settle":
            self.desk.settle()
            return
        self.desk.sync()
        self.desk.plan_twice()
        if pace == "work":
            self.desk.work(seconds=1)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_lives_keep_every_promise(batch: int, scripted: None) -> None:
    """All invariants of docs/architecture.md over random sequences of everything (ALL-3, BEY-1, RSK-1)."""
    machine = type("PortfolioLife", (PortfolioLife,), {})
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
