"""Two workers, or a worker and a person, at one portfolio in the same moment, each on a real connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal as D
from threading import Barrier, Lock
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, transaction
from django.db.models import F

from accounts.models import Portfolio
from allocation.models import BlockedUnderlying, CapitalAccount, Follow, FollowLeg, Reservation
from core.errors import InputError
from engine.copy_cycle import cycle_run, cycles_due
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs
from engine.domain.plan_types import CopyPlan
from engine.follows import follow_pause, follow_remove, follow_resume, follow_start
from engine.models import CycleState, Decision
from engine.order_life import orders_work
from engine.portfolios import cash_deposit, cash_reset, portfolio_open, portfolio_settings_save
from execution.models import Fill, Order, OrderEvent, PaperFill, PaperOrder
from markets.recordings import ALPHA_ARENA
from markets.selectors import instruments_for
from markets.services import world_run_start
from positions.audit import books_audit
from positions.models import Position, SliceEntry
from positions.valuation import portfolio_equity
from tests.replaying import ReplayDriver
from traders.models import Trader

pytestmark = pytest.mark.django_db(transaction=True)
GROK, QWEN, DEEPSEEK = "grok-4", "qwen3-max", "deepseek-chat-v3.1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls at the same moment, each on its own connection; an exception counts as the result."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=20)
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def aside(call: Callable[[], Any]) -> Any:
    """Run a call on a connection of its own, to its end."""
    (result,) = at_once(call)
    if isinstance(result, Exception):
        raise result
    return result


class Deciding:
    """Stands before the deciding code: what is put in happens between gathering and acting."""

    def __init__(self) -> None:
        self.seen: list[CopyInputs] = []
        self.meanwhile: list[Callable[[], Any]] = []
        self._lock = Lock()

    def __call__(self, *, inputs: CopyInputs) -> CopyPlan:
        with self._lock:
            self.seen.append(inputs)
            happens = self.meanwhile.pop(0) if self.meanwhile else None
        if happens is not None:
            happens()
        return copy_plan(inputs=inputs)


@pytest.fixture
def deciding(monkeypatch: pytest.MonkeyPatch) -> Deciding:
    """The deciding code, with a place to let things happen while it thinks."""
    between = Deciding()
    monkeypatch.setattr("engine.copy_cycle.copy_plan", between)
    return between


@pytest.fixture
def arena() -> ReplayDriver:
    """The Alpha Arena 3 hours in: its traders hold something."""
    driver = ReplayDriver(ALPHA_ARENA).start()
    driver.forward(18)
    return driver


@pytest.fixture
def portfolio(arena: ReplayDriver) -> Iterator[Portfolio]:
    """Two traders followed and read, nothing decided yet; in the end the books must be clean."""
    owner = get_user_model().objects.create_user(email="racer@example.com", password="correct horse battery")
    settings = {"policy": "perp", "risk_profile": "balanced"}
    opened = arena.portfolio(owner, name="race", keys=(GROK, QWEN), **settings)
    arena.observe()
    yield opened
    assert books_audit() == []


def cycle(driver: ReplayDriver, portfolio: Portfolio) -> Callable[[], Any]:
    return lambda: cycle_run(portfolio_id=portfolio.pk, now=driver.wall_at)


def test_of_two_cycles_at_once_one_acts(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """DESIGN: both decided on the same books; one books its plan, the other starts over and finds it done."""
    both_decide = Barrier(2)
    deciding.meanwhile = [lambda: both_decide.wait(timeout=20)] * 2
    first, second = at_once(cycle(arena, portfolio), cycle(arena, portfolio))
    placed = sorted([first.order_ids, second.order_ids], key=len)
    assert placed[0] == ()
    assert len(placed[1]) >= 2
    assert len(deciding.seen) == 3
    assert deciding.seen[0].holdings == deciding.seen[1].holdings == {}
    assert len(deciding.seen[2].holdings) == len(placed[1])
    underlyings = list(Order.objects.values_list("underlying", flat=True))
    assert len(underlyings) == len(set(underlyings)) == len(placed[1])
    reasons = list(Decision.objects.filter(kind__in=["copied", "merged"]).values_list("underlying", "kind"))
    assert len(reasons) == len(set(reasons)), "each decision is stored once"


def test_a_cycle_overtaken_by_a_fill_decides_anew(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """DESIGN: a fill booked between gathering and acting makes the decision stale; nothing is written."""
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    orders_work(now=arena.wall_at)
    arena.forward(1)
    deciding.seen.clear()
    deciding.meanwhile = [lambda: aside(lambda: orders_work(now=arena.wall_at))]
    acted = cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    assert acted is not None
    assert Fill.objects.count() >= 2
    before, after = deciding.seen
    assert all(holding.quantity == 0 for holding in before.holdings.values())
    assert {u: h.quantity for u, h in after.holdings.items() if h.quantity} == dict(
        Position.objects.values_list("underlying", "quantity")
    )


def test_books_that_keep_moving_postpone_the_cycle(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """DESIGN: after three attempts the cycle gives up, orders nothing, and is wanted again."""
    CycleState.objects.update(wanted_at=None)

    def deposit(number: int) -> Callable[[], Any]:
        amount = {"amount": D(10), "key": f"race {number}", "now": arena.wall_at}
        return lambda: aside(lambda: cash_deposit(portfolio=portfolio, **amount))

    deciding.meanwhile = [deposit(1), deposit(2), deposit(3)]
    assert cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at) is None
    assert not Order.objects.exists()
    assert not FollowLeg.objects.exists()
    assert CapitalAccount.objects.get().cash == 10030
    assert CycleState.objects.get().wanted_at == arena.wall_at
    acted = cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    assert acted is not None
    assert acted.order_ids


def test_a_pause_during_a_cycle_is_not_overrun(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """FOL-1: who is paused while the cycle thinks gets no entry any more."""
    grok = Follow.objects.select_related("portfolio", "trader").get(trader__key=GROK)
    deciding.meanwhile = [lambda: aside(lambda: follow_pause(follow=grok, now=arena.wall_at))]
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    assert len(deciding.seen) == 2
    assert Order.objects.exists()
    assert not Order.objects.filter(slices__follow=grok).exists()


def test_a_resume_during_a_cycle_is_not_forgotten(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """FOL-1: what was opened during a pause is left out, also where cycle and resume cross."""
    grok = Follow.objects.select_related("portfolio", "trader").get(trader__key=GROK)
    follow_pause(follow=grok, now=arena.wall_at)
    Follow.objects.filter(pk=grok.pk).update(joined=True)
    grok.refresh_from_db()
    deciding.meanwhile = [lambda: aside(lambda: follow_resume(follow=grok, now=arena.wall_at))]
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    grok.refresh_from_db()
    assert (grok.status, grok.resumed_at) == ("active", None)
    ignored = FollowLeg.objects.filter(follow=grok).exclude(ignored_quantity=0)
    assert ignored.exists(), "all it holds was opened before the resume"
    assert not Order.objects.filter(slices__follow=grok).exists()


def test_a_block_during_a_cycle_is_kept(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """SPEC, joining and leaving: what was put on the block list while the cycle thinks is not opened."""
    codes = [spec.underlying for spec in arena_instruments(arena)]
    deciding.meanwhile = [
        lambda: aside(lambda: portfolio_settings_save(portfolio=portfolio, now=arena.wall_at, blocked=codes))
    ]
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    assert BlockedUnderlying.objects.count() == len(codes)
    assert not Order.objects.exists()
    assert Decision.objects.filter(kind="refused", reason__contains="block list").exists()


def test_a_new_run_during_a_cycle_is_not_mixed_with_the_old(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """Worlds and time: a cycle that read the last run remembers nothing of it in the next."""

    def start_over() -> None:
        world_run_start(world=arena.world, now=arena.wall_at)
        assert cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at) is not None

    deciding.meanwhile = [lambda: aside(start_over)]
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    assert deciding.seen[0].follows[0].book is not None
    assert [follow.book for inputs in deciding.seen[1:] for follow in inputs.follows] == [None] * 4
    assert not FollowLeg.objects.exists()
    assert not Order.objects.exists()


def test_the_policy_never_changes_beside_an_order(
    arena: ReplayDriver, portfolio: Portfolio, deciding: Deciding
) -> None:
    """SPEC, profiles: an order of the old policy and the new policy never meet, whoever is faster."""
    outcomes = set()
    for _ in range(6):
        results = at_once(
            cycle(arena, portfolio),
            lambda: portfolio_settings_save(portfolio=portfolio, now=arena.wall_at, policy="spot"),
        )
        portfolio.refresh_from_db()
        refused = isinstance(results[1], InputError)
        assert portfolio.policy == ("perp" if refused else "spot")
        assert set(Order.objects.values_list("policy", flat=True)) <= {portfolio.policy}
        outcomes.add(refused)
        Order.objects.all().delete()
        Reservation.objects.all().delete()
        CapitalAccount.objects.update(free=F("cash"), committed=0)
        FollowLeg.objects.all().delete()
        Portfolio.objects.update(policy="perp")
        portfolio.refresh_from_db()
    assert outcomes


def test_nothing_is_booked_while_a_deposit_is_priced(
    portfolio: Portfolio, arena: ReplayDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Money in and out: units are bought at a worth that still holds when they are booked."""
    refused: list[type[Exception]] = []

    def valued(*, portfolio: Portfolio) -> D:
        with pytest.raises(OperationalError, match="could not obtain lock") as error:
            aside(lambda: _row_take(portfolio))
        refused.append(error.type)
        return portfolio_equity(portfolio=portfolio)

    monkeypatch.setattr("engine.portfolios.portfolio_equity", valued)
    cash_deposit(portfolio=portfolio, amount=D(10), key="a", now=arena.wall_at)
    cash_reset(portfolio=portfolio, amount=D(10000), key="b", now=arena.wall_at)
    assert len(refused) == 2


def _row_take(portfolio: Portfolio) -> None:
    with transaction.atomic():
        CapitalAccount.objects.select_for_update(nowait=True).get(pk=portfolio.pk)


def arena_instruments(driver: ReplayDriver) -> list[Any]:
    return list(instruments_for(world=driver.world_name).values())


def test_two_workers_at_the_same_orders_book_each_fill_once(
    arena: ReplayDriver, portfolio: Portfolio
) -> None:
    """EXE-3: sent once, matched once, booked once, told once, however many workers are at it."""
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    for _ in range(6):
        results = at_once(*[lambda: orders_work(now=arena.wall_at)] * 3)
        assert results == [None] * 3
        arena.forward(1)
    assert not Order.objects.filter(status__in=Order.OPEN_STATUSES).exists()
    assert PaperOrder.objects.count() == Order.objects.count()
    assert Fill.objects.count() == PaperFill.objects.count() >= 2
    assert Decision.objects.filter(kind="fill").count() == Fill.objects.count()
    entries = SliceEntry.objects.filter(kind=SliceEntry.Kind.FILL)
    assert set(entries.values_list("fill_id", flat=True)) == set(Fill.objects.values_list("pk", flat=True))
    events = list(OrderEvent.objects.values_list("order_id", "from_status", "to_status"))
    assert len(events) == len(set(events))


def test_two_schedulers_hand_out_a_turn_once(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """DESIGN: two beats, or a task delivered twice, claim a portfolio's turn once."""
    CycleState.objects.update(wanted_at=None, next_at=arena.wall_at)
    for _ in range(10):
        CycleState.objects.update(next_at=arena.wall_at, asked_at=None)
        claimed = at_once(*[lambda: cycles_due(now=arena.wall_at)] * 3)
        assert sorted(claimed, key=len) == [[], [], [portfolio.pk]]


# ---------------------------------------------------------------- following at once
def wallet(number: int) -> dict[str, Any]:
    return {"kind": "hyperliquid", "key": f"0x{number:040x}", "now": NOW}


def portfolio_make(name: str = "crowd") -> Portfolio:
    owner = get_user_model().objects.create_user(
        email=f"{name}@example.com", password="correct horse battery"
    )
    return portfolio_open(owner=owner, initial_cash=D(1000), now=NOW, name=name, policy="perp")


def test_the_tenth_and_the_eleventh_at_once() -> None:
    """FOL-1: one place is left and two reach for it; one is refused."""
    portfolio = portfolio_make()
    for number in range(9):
        follow_start(portfolio=portfolio, **wallet(number))
    results = at_once(
        lambda: follow_start(portfolio=portfolio, **wallet(20)),
        lambda: follow_start(portfolio=portfolio, **wallet(21)),
    )
    (refused,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(refused, InputError)
    assert "10 traders already" in refused.message
    follows = Follow.objects.filter(portfolio=portfolio)
    assert [follow.weight for follow in follows] == [D("0.1")] * 10
    assert sorted(follow.hue for follow in follows) == list(range(1, 11))
    assert sorted(follow.place for follow in follows) == list(range(1, 11))


def test_abandoned_by_one_and_followed_by_another_at_once() -> None:
    """FOL-2: whoever is faster, a trader is read exactly while somebody follows it."""
    leaving, coming = portfolio_make("leaving"), portfolio_make("coming")
    for number in range(1, 9):
        follow = follow_start(portfolio=leaving, **wallet(number))
        follow_remove(follow=follow, keep_positions=False, now=NOW)
        trader = Trader.objects.filter(pk=follow.trader_id)
        results = at_once(
            lambda: cycle_run(portfolio_id=leaving.pk, now=NOW),
            lambda number=number: follow_start(portfolio=coming, **wallet(number)),
        )
        assert [result for result in results if isinstance(result, Exception)] == []
        assert Follow.objects.get(pk=follow.pk).status == Follow.Status.REMOVED
        assert trader.get().status == Trader.Status.ACTIVE
        follow_remove(follow=results[1], keep_positions=False, now=NOW)
        cycle_run(portfolio_id=coming.pk, now=NOW)
        assert trader.get().status == Trader.Status.PAUSED


def test_the_same_trader_twice_at_once() -> None:
    """FOL-1, FOL-2: pressed twice, followed once, and the trader is one row."""
    portfolio = portfolio_make()
    results = at_once(*[lambda: follow_start(portfolio=portfolio, **wallet(1))] * 2)
    (refused,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(refused, InputError)
    assert "followed already" in refused.message
    assert Follow.objects.get().weight == 1


def test_the_first_follow_fixes_the_world_once() -> None:
    """Worlds and time: two first follows from two worlds; the faster one settles it."""
    portfolio = portfolio_make()
    results = at_once(
        lambda: follow_start(portfolio=portfolio, **wallet(1)),
        lambda: follow_start(portfolio=portfolio, kind="replay", key=GROK, now=NOW),
    )
    (refused,) = [result for result in results if isinstance(result, Exception)]
    assert isinstance(refused, InputError)
    assert "cannot be mixed" in refused.message
    portfolio.refresh_from_db()
    assert Follow.objects.get().trader.world == portfolio.world


def test_a_follow_waits_for_a_booking_and_goes_on(arena: ReplayDriver, portfolio: Portfolio) -> None:
    """DESIGN 3: whoever changes a portfolio's books or follows holds its capital row; nobody deadlocks."""
    cycle_run(portfolio_id=portfolio.pk, now=arena.wall_at)
    results = at_once(
        lambda: follow_start(portfolio=portfolio, kind="replay", key=DEEPSEEK, now=arena.wall_at),
        lambda: orders_work(now=arena.wall_at),
        cycle(arena, portfolio),
        lambda: portfolio_settings_save(portfolio=portfolio, now=arena.wall_at, conflict_rule="largest"),
        lambda: cash_deposit(portfolio=portfolio, amount=D(5), key="race", now=arena.wall_at),
    )
    assert [result for result in results if isinstance(result, Exception)] == []
    arena.forward(1)
    arena.settle()
    weights = list(Follow.objects.order_by("place").values_list("weight", flat=True))
    assert weights == [D("0.3333"), D("0.3333"), D("0.3334")]
