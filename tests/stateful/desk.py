"""One portfolio in one world, and what feed, workers and its owner do to it, each checked as it is done."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from allocation.models import CapitalAccount, Follow
from core.errors import InputError
from engine import upkeep
from engine.act import Acted
from engine.commands import command_accept, command_run, commands_due
from engine.copy_cycle import cycle_run, cycles_due, world_is_flat
from engine.follows import follow_pause, follow_remove, follow_resume, follow_start, follows_arrange
from engine.handlers.base import PATIENCE
from engine.models import Command
from engine.order_life import orders_ask, orders_work
from engine.portfolios import (
    cash_deposit,
    cash_reset,
    cash_withdraw,
    portfolio_open,
    portfolio_settings_save,
)
from engine.syncing import shard_sync
from engine.wake import ASK_AGAIN
from execution.models import Fill as BookedFill
from execution.models import Order, PaperFill
from markets.models import Mark
from positions.models import Position
from positions.valuation import portfolio_equity, portfolio_withdrawable
from tests.replaying import StillClock
from tests.stateful import promises
from tests.stateful.weather import Weather, WeatherVenue
from tests.stateful.worlds import Play, RecordedWorld

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_STEPS = 3


class Desk:
    """A portfolio, its world, and the line to its venue."""

    def __init__(self, *, owner: Any, play: Play, venue: WeatherVenue, cash: str, **settings: Any) -> None:
        self.play = play
        self.venue = venue
        self.portfolio = portfolio_open(
            owner=owner, initial_cash=Decimal(cash), now=play.now, name="Sequence", **settings
        )
        self.view = promises.view_now(portfolio=self.portfolio, now=play.now)
        self._keys = self._checks = 0

    # ---------------------------------------------------------------- what the machine asks
    @property
    def follows(self) -> list[Follow]:
        """The follows that were not removed, in order."""
        rows = Follow.objects.filter(portfolio=self.portfolio).exclude(status=Follow.Status.REMOVED)
        return list(rows.select_related("trader", "portfolio").order_by("place", "id"))

    @property
    def open_orders(self) -> list[Order]:
        """Orders that may still change, oldest first."""
        return list(
            Order.objects.filter(portfolio=self.portfolio, status__in=Order.OPEN_STATUSES).order_by("pk")
        )

    @property
    def positions(self) -> list[Position]:
        """Open positions, oldest first."""
        held = Position.objects.filter(portfolio=self.portfolio).exclude(status=Position.Status.CLOSED)
        return list(held.order_by("pk"))

    def market(self, code: str) -> tuple[Any, Decimal] | None:
        """Return an instrument's rules and its mark, None where it has none here."""
        mark = Mark.objects.filter(world_id=self.portfolio.world, instrument_id=code).first()
        return (mark.instrument.spec(), mark.price) if mark else None

    @property
    def anything_open(self) -> bool:
        """Whether a position or an order is open."""
        held = Position.objects.filter(portfolio=self.portfolio).exclude(status=Position.Status.CLOSED)
        return held.exists() or bool(self.open_orders)

    # ---------------------------------------------------------------- the owner
    def follow(self, *, key: str, join_mode: str) -> None:
        """Follow a trader; refused where it is followed already or there are ten."""
        followed = {follow.trader.key for follow in self.follows}
        wanted = {"kind": self.play.kind, "key": key, "join_mode": join_mode, "now": self.play.now}
        if key in followed or len(followed) >= 10:
            self._refused(follow_start, portfolio=self.portfolio, **wanted)
            assert {follow.trader.key for follow in self.follows} == followed
            return
        follow_start(portfolio=self.portfolio, **wanted)
        self.portfolio.refresh_from_db()

    def pause_or_resume(self, follow: Follow) -> None:
        """Pause an active trader, resume a paused one; refused while it is being left."""
        change = follow_resume if follow.status == Follow.Status.PAUSED else follow_pause
        if follow.status == Follow.Status.LEAVING:
            self._refused(change, follow=follow, now=self.play.now)
        else:
            change(follow=follow, now=self.play.now)

    def remove(self, follow: Follow, *, keep: bool) -> None:
        """Leave a trader."""
        follow_remove(follow=follow, keep_positions=keep, now=self.play.now)

    def arrange(self, follow_ids: list[int]) -> None:
        """Put the follows in another order."""
        follows_arrange(portfolio=self.portfolio, follow_ids=follow_ids, now=self.play.now)
        assert [follow.pk for follow in self.follows] == follow_ids

    def deposit(self, amount: Decimal) -> None:
        """Put cash in, twice with one key; refused where a unit has no price."""
        account = CapitalAccount.objects.get(portfolio=self.portfolio)
        request = self._request(amount)
        if account.units and portfolio_equity(portfolio=self.portfolio) <= 0:
            self._refused(cash_deposit, **request)
            return
        for _ in range(2):
            cash_deposit(**request)
        account_after = CapitalAccount.objects.get(portfolio=self.portfolio)
        assert account_after.cash - account_after.deficit == account.cash - account.deficit + amount

    def withdraw(self, amount: Decimal) -> None:
        """Take cash out; more than is free, or than open positions can spare, is refused."""
        before = CapitalAccount.objects.get(portfolio=self.portfolio)
        request = self._request(amount)
        if amount > min(before.free, portfolio_withdrawable(portfolio=self.portfolio)):
            self._refused(cash_withdraw, **request)
            return
        cash_withdraw(**request)
        assert CapitalAccount.objects.get(portfolio=self.portfolio).free == before.free - amount

    def reset(self, amount: Decimal) -> None:
        """Start the paper account over; refused while anything is open."""
        if self.anything_open:
            self._refused(cash_reset, **self._request(amount))
            return
        cash_reset(**self._request(amount))
        assert CapitalAccount.objects.get(portfolio=self.portfolio).cash == amount

    def settings(self, **fields: Any) -> None:
        """Save settings; another policy is refused while anything is open."""
        other = "policy" in fields and fields["policy"] != self.portfolio.policy
        if other and self.anything_open:
            self._refused(portfolio_settings_save, portfolio=self.portfolio, now=self.play.now, **fields)
            return
        portfolio_settings_save(portfolio=self.portfolio, now=self.play.now, **fields)
        self.portfolio.refresh_from_db()

    def ask(self, kind: str, **data: Any) -> None:
        """Ask for something to be done; what makes no sense is refused and changes no money."""
        self._keys += 1
        request = {
            "portfolio": self.portfolio,
            "kind": kind,
            "data": data,
            "key": f"wish {self._keys}",
            "asked_by": self.portfolio.owner,
            "via": "page",
            "now": self.play.now,
        }
        before = CapitalAccount.objects.filter(portfolio=self.portfolio).values().get()
        try:
            command = command_accept(**request)
        except InputError:
            assert CapitalAccount.objects.filter(portfolio=self.portfolio).values().get() == before
            return
        assert command_accept(**request).pk == command.pk
        self.commands_work()

    def commands_work(self) -> None:
        """Carry out what was asked for, or go on with it."""
        for command_id in commands_due(now=self.play.now):
            command_run(command_id=command_id, now=self.play.now)
        self.portfolio.refresh_from_db()

    def _request(self, amount: Decimal) -> dict[str, Any]:
        self._keys += 1
        return {
            "portfolio": self.portfolio,
            "amount": amount,
            "key": f"request {self._keys}",
            "now": self.play.now,
        }

    def _refused(self, service: Any, **arguments: Any) -> None:
        """Call a service that must refuse, and see that it changed no money."""
        before = CapitalAccount.objects.filter(portfolio=self.portfolio).values().get()
        with pytest.raises(InputError):
            service(**arguments)
        assert CapitalAccount.objects.filter(portfolio=self.portfolio).values().get() == before
        self.portfolio.refresh_from_db()

    # ---------------------------------------------------------------- the workers
    def sync(self) -> None:
        """Read the traders that are due."""
        shard_sync(shard=0, shards=1, now=self.play.now, clock=StillClock(self.play.now))

    def plan_due(self) -> None:
        """Run the copy cycle if it is wanted or due."""
        if self.portfolio.pk in cycles_due(now=self.play.now + ASK_AGAIN):
            self._cycle()

    def plan_twice(self) -> None:
        """Run the copy cycle, wanted or not, and once more: with nothing new the second does nothing."""
        acted = self._cycle()
        if acted.cancel_ids:
            return  # an order that was called back before it was sent has ended: that is new
        again = self._cycle()
        assert (again.order_ids, again.transfers) == ((), 0), "nothing was new, and something was done"

    def _cycle(self) -> Acted:
        """Run the cycle, and hold what it stored against the limits."""
        newest = max((order.pk for order in self.open_orders), default=0)
        before = promises.exposure_now(portfolio=self.portfolio)
        acted = cycle_run(portfolio_id=self.portfolio.pk, now=self.play.now)
        assert acted is not None, "nobody else books here, so the cycle acts at once"
        assert all(order_id > newest for order_id in acted.order_ids)
        if acted.order_ids:
            after = promises.exposure_now(portfolio=self.portfolio)
            promises.entries_within_limits(portfolio=self.portfolio, before=before, after=after)
        return acted

    def work(self, *, seconds: float, marks: bool = True) -> None:
        """Let time pass and do what orders need."""
        self.play.pass_time(seconds=seconds, marks=marks)
        orders_work(now=self.play.now)
        self.commands_work()

    def keep(self) -> None:
        """Value, liquidate, fund, sweep."""
        upkeep.portfolios_value(now=self.play.now)
        upkeep.positions_fund(now=self.play.now)
        upkeep.reservations_sweep(now=self.play.now)
        self.portfolio.refresh_from_db()

    def ask_all(self) -> None:
        """Ask the venue about every order it made a fill for that is not in our books yet."""
        orders_ask(order_ids=sorted(self._untold_orders().values()), now=self.play.now)

    def run_begin(self) -> None:
        """Start a recording that is over and holds nothing any more from its beginning, as the feed does."""
        world = self.play.world
        if (
            isinstance(self.play, RecordedWorld)
            and world.clock().ended(self.play.now)
            and world_is_flat(world=world.name)
        ):
            self.play.run_begin()

    def settle(self) -> None:
        """Give everything that was begun the seconds it needs."""
        for _ in range(SETTLE_STEPS):
            self.sync()
            self.plan_due()
            if not self.open_orders:
                break
            self.work(seconds=1)

    # ---------------------------------------------------------------- what must hold
    def check(self) -> None:
        """Check every promise."""
        self.portfolio.refresh_from_db()
        untold = set(self._untold_orders())
        assert untold <= self.venue.withheld, "what the venue told is booked"
        promises.books_hold(portfolio=self.portfolio, untold=bool(untold))
        promises.capital_adds_up(portfolio=self.portfolio)
        promises.weights_are_one(portfolio=self.portfolio)
        promises.positions_are_single(portfolio=self.portfolio)
        promises.statuses_follow_the_table(portfolio=self.portfolio)
        promises.orders_work_alone(portfolio=self.portfolio)
        promises.undone_is_explained(portfolio=self.portfolio)
        self._checks += 1
        if self._checks % 2 == 0:  # one change then spans two steps, as when pokes are merged
            old, self.view = self.view, promises.view_now(portfolio=self.portfolio, now=self.play.now)
            promises.view_follows(old=old, new=self.view)

    def _untold_orders(self) -> dict[str, int]:
        """Return the orders with a fill at the venue that our books lack, by client id."""
        booked = BookedFill.objects.filter(order__portfolio=self.portfolio).values_list(
            "venue_fill_id", flat=True
        )
        made = PaperFill.objects.exclude(pk__in=[int(fill_id) for fill_id in booked])
        ids = made.values_list("paper_order__client_order_id", flat=True)
        return dict(Order.objects.filter(client_order_id__in=list(ids)).values_list("client_order_id", "pk"))

    def calm(self) -> None:
        """End of the sequence: in clear weather everything comes to an end, and the books are exact."""
        self.venue.weather = Weather.CLEAR
        if self.open_orders:
            self.work(seconds=75)  # a lost entry is held until its time would be over at the venue
        self.play.pass_time(seconds=PATIENCE.total_seconds())
        self.commands_work()
        self.ask_all()
        self.settle()
        self.keep()
        self.check()
        assert self._untold_orders() == {}
        assert not Order.objects.filter(portfolio=self.portfolio, status=Order.Status.UNKNOWN).exists()
        assert set(Command.objects.values_list("status", flat=True)) <= {"done", "refused", "failed"}
        assert not Command.objects.filter(answer__contains="The fault is ours").exists()
        overdue = Order.objects.filter(status__in=Order.OPEN_STATUSES, expires_at__lt=self.play.now)
        assert not overdue.exists()
