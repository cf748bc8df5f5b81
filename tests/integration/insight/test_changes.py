"""BEY-3: every change of every followed trader has a decision, also where nothing is copied."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from engine import publishing, sending
from engine.changes import change_coverage
from engine.copy_cycle import cycle_run
from engine.follows import follow_pause, follow_start
from engine.models import AnsweredChange, Decision
from markets.recordings import ALPHA_ARENA
from tests.replaying import ReplayDriver
from traders.models import Trader, TraderSnapshot
from traders.recordings import recorded_events_between

pytestmark = pytest.mark.django_db
KEYS = ("deepseek-chat-v3.1", "qwen3-max", "grok-4")
D = Decimal
FOREVER = timedelta(days=3650)


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_send", lambda *_: None)
    monkeypatch.setattr(publishing, "_poke", lambda *_: None)


@pytest.fixture
def driver() -> ReplayDriver:
    """The AI traders' world, at its start."""
    return ReplayDriver(ALPHA_ARENA).start()


def play(driver: ReplayDriver, *, moves: int) -> None:
    """Go on until traders have moved so many more times."""
    seen_at = driver.world_at
    while moves:
        driver.forward(4)
        keys = recorded_events_between(world=driver.world_name, after_at=seen_at, until_at=driver.world_at)
        seen_at = driver.world_at
        if keys:
            driver.observe(keys)
            driver.settle(steps=2)
            moves -= 1


def covered(driver: ReplayDriver) -> tuple[int, int]:
    """Return (answered, changes) up to now."""
    kept = change_coverage(now=driver.wall_at + timedelta(seconds=1), window=FOREVER, patience=timedelta(0))
    return kept.answered, kept.changes


def test_each_change_has_its_decision(driver: ReplayDriver, alice: Any) -> None:
    """BEY-3: copied, capped, delayed or left alone: coverage is 100 %, under all ways to join, and paused."""
    driver.portfolio(alice, name="Joined", keys=KEYS, policy="perp", risk_profile="balanced")
    later = driver.portfolio(alice, name="Later", keys=(), policy="spot")
    play(driver, moves=6)
    follow_start(portfolio=later, kind="replay", key=KEYS[0], join_mode="new_only", now=driver.wall_at)
    paused = follow_start(
        portfolio=later, kind="replay", key=KEYS[1], join_mode="include_open", now=driver.wall_at
    )
    play(driver, moves=3)
    follow_pause(follow=paused, now=driver.wall_at)
    play(driver, moves=6)
    answered, changes = covered(driver)
    assert answered == changes >= 15
    rows = AnsweredChange.objects.all()
    assert rows.exclude(decision__follows=F("follow")).count() == 0
    assert rows.filter(decision__reason="", decision__kind__in=["held", "refused", "delayed"]).count() == 0
    assert {"opened", "closed"} <= set(rows.values_list("change", flat=True))
    assert rows.filter(decision__kind="copied").exists()


def changed(trader: Trader, *positions: tuple[str, str], at_s: int) -> None:
    """Store a read of a trader in which its quantities changed."""
    before = trader.basis_snapshot
    assert before is not None
    snapshot = TraderSnapshot.objects.create(
        trader=trader,
        run=before.run,
        world_at=before.world_at + timedelta(seconds=at_s),
        received_at=before.received_at + timedelta(seconds=at_s),
        equity=before.equity,
        positions=[
            {"code": code, "quantity": quantity, "entry_price": "100", "mark_price": None, "opened_at": None}
            for code, quantity in positions
        ],
        quantities_changed=True,
    )
    trader.basis_snapshot = trader.latest_snapshot = snapshot
    trader.save(update_fields=["basis_snapshot", "latest_snapshot"])


@pytest.fixture
def followed(driver: ReplayDriver, alice: Any) -> Portfolio:
    """A portfolio that follows one trader, new trades only, after its first cycle."""
    portfolio = driver.portfolio(alice, name="One", keys=(), policy="perp", risk_profile="balanced")
    follow_start(portfolio=portfolio, kind="replay", key=KEYS[0], now=driver.wall_at)
    driver.forward()
    driver.observe(KEYS[:1])
    driver.settle(steps=1)
    portfolio.refresh_from_db()
    return portfolio


def newest(portfolio: Portfolio) -> list[tuple[str, str, D, D, str, str]]:
    """Return the changes that the last decided snapshots brought, oldest first."""
    rows = AnsweredChange.objects.filter(follow__portfolio=portfolio).order_by("pk")
    return [
        (row.underlying, row.change, row.before, row.after, row.decision.kind, row.decision.reason)
        for row in rows.select_related("decision")
    ]


def test_what_was_open_before_is_left_alone_and_says_so(driver: ReplayDriver, followed: Portfolio) -> None:
    """BEY-3: a trader reduces and closes what was never copied: nothing is done, and why is told."""
    trader = Trader.objects.get(key=KEYS[0])
    changed(trader, ("BTC", "2"), at_s=10)
    cycle_run(portfolio_id=followed.pk, now=driver.wall_at)
    AnsweredChange.objects.all().delete()
    follow = followed.follows.get()
    follow.legs.update_or_create(
        underlying="BTC", defaults={"ignored_quantity": D(2), "trader_quantity": D(0)}
    )
    changed(trader, ("BTC", "1.5"), at_s=20)
    driver.forward(1)
    cycle_run(portfolio_id=followed.pk, now=driver.wall_at)
    ((underlying, change, before, after, kind, reason),) = newest(followed)
    assert (underlying, change, before, after, kind) == ("BTC", "reduced", D(2), D("1.5"), "held")
    assert "before you followed" in reason
    assert not followed.orders.filter(created_at=driver.wall_at).exists()


def test_moved_and_moved_back_before_anyone_looked(driver: ReplayDriver, followed: Portfolio) -> None:
    """BEY-3: two reads between two cycles: both changes are kept, and the second says what became of it."""
    trader = Trader.objects.get(key=KEYS[0])
    changed(trader, at_s=10)
    cycle_run(portfolio_id=followed.pk, now=driver.wall_at)
    AnsweredChange.objects.all().delete()
    changed(trader, ("ETH", "1"), at_s=20)
    changed(trader, at_s=30)
    driver.forward(1)
    cycle_run(portfolio_id=followed.pk, now=driver.wall_at)
    assert [row[:5] for row in newest(followed)] == [
        ("ETH", "opened", D(0), D(1), "held"),
        ("ETH", "closed", D(1), D(0), "held"),
    ]
    before = Decision.objects.count()
    cycle_run(portfolio_id=followed.pk, now=driver.wall_at)
    assert Decision.objects.count() == before
    assert AnsweredChange.objects.count() == 2


def test_a_change_without_a_decision_is_counted(driver: ReplayDriver, followed: Portfolio) -> None:
    """BEY-3: the figure falls below 1 where a change waits longer than it should."""
    trader = Trader.objects.get(key=KEYS[0])
    whole = covered(driver)
    assert whole[0] == whole[1]
    changed(trader, ("SOL", "1"), at_s=1)
    driver.forward(10)
    assert covered(driver) == (whole[0], whole[1] + 1)
    patient = change_coverage(now=driver.wall_at, window=FOREVER)
    assert patient.fraction == 1


def test_the_command_tells_what_has_no_decision(driver: ReplayDriver, followed: Portfolio) -> None:
    """BEY-3: exit status 1 where a change waits longer than it should."""
    shown = StringIO()
    call_command("decision_coverage", "--json", stdout=shown)
    told = json.loads(shown.getvalue())
    assert told["answered"] == told["changes"]
    changed(Trader.objects.get(key=KEYS[0]), ("SOL", "1"), at_s=1)
    long_ago = utc_now() - timedelta(minutes=10)
    TraderSnapshot.objects.update(received_at=long_ago)
    Follow.objects.update(created_at=long_ago - timedelta(minutes=1))
    with pytest.raises(CommandError, match="1 without a decision"):
        call_command("decision_coverage", stdout=shown)
