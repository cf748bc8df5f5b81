"""Both recordings from first to last trade, under every rule and both policies: the books stay exact.

The portfolios of a world live side by side, so that each trader is read once for all of them (FOL-2). Every
rule is tried under the policy that asks more of it; `pytest -m exhaustive` tries every rule under both.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.db.models import F, Sum

from accounts.models import Portfolio
from allocation.models import CapitalAccount, Follow, LedgerEntry
from core.types import ConflictRule, Policy
from engine import publishing, sending
from engine.changes import change_coverage
from engine.copy_cycle import world_is_flat
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs, LegMemory
from engine.domain.plan_types import CopyPlan
from engine.models import AnsweredChange, Decision
from execution.models import Fill, Order
from markets.recordings import ALPHA_ARENA, HYPERLIQUID_WALLETS
from positions.models import ConflictRecord, EquityPoint, Position, SliceEntry
from tests.replaying import ReplayDriver
from traders.models import TraderSnapshot
from traders.recordings import recorded_events_between

TICK_S = 2.0
SETS = {
    ALPHA_ARENA: ("deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro"),
    HYPERLIQUID_WALLETS: ("acc10", "acc3", "acc4", "acc6", "acc9"),
}


SOME = (
    (ConflictRule.COMBINE, Policy.PERP),
    (ConflictRule.LARGEST, Policy.SPOT),
    (ConflictRule.FIRST, Policy.PERP),
)
ALL = tuple(product(ConflictRule, Policy))
Chosen = tuple[tuple[ConflictRule, Policy], ...]


def portfolios_open(driver: ReplayDriver, owner: Any, chosen: Chosen) -> list[Portfolio]:
    """One portfolio per rule and policy, all following every trader of the set."""
    return [
        driver.portfolio(
            owner,
            name=f"{rule} {policy}",
            keys=SETS[driver.world_name],
            policy=policy.value,
            conflict_rule=rule.value,
            risk_profile="balanced" if policy is Policy.PERP else "conservative",
            auto_rebalance=True,
        )
        for rule, policy in chosen
    ]


def replay_to_the_end(driver: ReplayDriver) -> int:
    """Run the recording; audit on the way. Returns how many steps had recorded changes."""
    moved = 0
    seen_at = driver.world_at
    tick = 0
    while not driver.world.clock().ended(driver.wall_at):
        driver.forward(TICK_S)
        at = driver.world_at
        keys = recorded_events_between(world=driver.world_name, after_at=seen_at, until_at=at)
        seen_at = at
        if keys or tick % 30 == 0:
            driver.observe(keys)
            driver.settle(steps=2)
            moved += bool(keys)
        if tick % 5 == 0:
            driver.keep()
        if tick % 150 == 0:
            assert driver.audit() == []
        tick += 1
    return moved


def seconds_until_flat(driver: ReplayDriver, *, at_most_s: int = 180) -> float:
    """Let the closing orders of the recording's end do their work; return how long that took."""
    began_at = driver.wall_at
    while not world_is_flat(world=driver.world_name):
        driver.settle(steps=2)
        assert driver.wall_at - began_at < timedelta(seconds=at_most_s), list(
            Order.objects.exclude(status=Order.Status.FILLED)[:5].values("status", "status_reason", "purpose")
        )
    return (driver.wall_at - began_at).total_seconds()


class Coverage:
    """Stands before the deciding code, and notes every change of a trader that was not adopted yet."""

    def __init__(self) -> None:
        self.changes: set[tuple[int, str, Decimal]] = set()

    def __call__(self, *, inputs: CopyInputs) -> CopyPlan:
        plan = copy_plan(inputs=inputs)
        told = {(follow_id, d.underlying) for d in plan.decisions for follow_id in d.follow_ids}
        for target in plan.targets:
            follow = next((f for f in inputs.follows if f.follow_id == target.follow_id), None)
            if follow is None or target.trader_quantity is None:
                continue
            known = follow.memory.get(target.underlying, LegMemory()).trader_quantity
            if target.trader_quantity != known:
                assert (follow.follow_id, target.underlying) in told, target
                self.changes.add((follow.follow_id, target.underlying, target.trader_quantity))
        return plan

    def kept(self) -> None:
        """Find every change in the database, by trader and instrument."""
        links = Decision.follows.through.objects.exclude(decision__underlying="")
        stored = set(links.values_list("follow_id", "decision__underlying"))
        assert {(follow_id, underlying) for follow_id, underlying, _ in self.changes} <= stored


@pytest.fixture
def coverage(monkeypatch: pytest.MonkeyPatch) -> Coverage:
    proof = Coverage()
    monkeypatch.setattr("engine.copy_cycle.copy_plan", proof)
    return proof


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no message: the driver itself does what workers and pages would be asked to do."""
    monkeypatch.setattr(sending, "_send", lambda *_: None)
    monkeypatch.setattr(publishing, "_poke", lambda *_: None)


@pytest.mark.parametrize(
    "chosen", [SOME, pytest.param(ALL, marks=pytest.mark.exhaustive)], ids=["some", "all"]
)
@pytest.mark.parametrize("world", SETS)
def test_the_books_are_exact_after_a_whole_recording(
    world: str,
    chosen: Chosen,
    transactional_db: None,
    nobody_listens: None,
    coverage: Coverage,
    alice: Any,
    request: pytest.FixtureRequest,
) -> None:
    """ALL-3, ALL-5, CON-3, EXE-7, OPS-2, BEY-1, BEY-3. Committed step by step, as it happens in service."""
    if chosen is ALL and "exhaustive" not in request.config.getoption("-m"):
        pytest.skip("six portfolios take minutes: pytest -m exhaustive")
    driver = ReplayDriver(world).start()
    portfolios = portfolios_open(driver, alice, chosen)
    moved = replay_to_the_end(driver)
    driver.observe(SETS[world])
    seconds = seconds_until_flat(driver)
    driver.keep()

    assert driver.audit() == []
    assert seconds <= 70  # within the minute that an entry lives, and the cycle that follows it
    assert moved >= 100
    assert len(coverage.changes) >= 80 * len(portfolios)
    coverage.kept()
    every_change_has_its_decision(driver)
    for portfolio in portfolios:
        everything_is_closed_and_paid(portfolio)
    assert TraderSnapshot.objects.values("trader").distinct().count() == len(SETS[world])
    assert not Order.objects.filter(status=Order.Status.UNKNOWN).exists()
    assert Position.objects.filter(policy=Policy.SPOT, quantity__lt=0).count() == 0
    assert ConflictRecord.objects.filter(ended_at__isnull=True).count() == 0
    assert not Decision.objects.filter(kind__in=["refused", "held", "capped", "delayed"], reason="").exists()


def every_change_has_its_decision(driver: ReplayDriver) -> None:
    """BEY-3: coverage 100 %, over all the recording's reads and every portfolio."""
    kept = change_coverage(now=driver.wall_at, window=timedelta(days=3650), patience=timedelta(0))
    assert kept.answered == kept.changes >= 100
    assert AnsweredChange.objects.exclude(decision__follows=F("follow")).count() == 0


def everything_is_closed_and_paid(portfolio: Portfolio) -> None:
    """At the recording's end nothing is open, and what is left in cash is what the ledger says."""
    account = CapitalAccount.objects.get(portfolio=portfolio)
    ledger = LedgerEntry.objects.filter(portfolio=portfolio).aggregate(total=Sum("amount"))["total"]
    assert not Position.objects.filter(portfolio=portfolio).exclude(status=Position.Status.CLOSED).exists()
    assert (account.reserved, account.committed, account.deployed) == (0, 0, 0)
    assert account.free - account.deficit == ledger
    assert Fill.objects.filter(order__portfolio=portfolio).count() > 20
    assert EquityPoint.objects.filter(portfolio=portfolio).count() > 20
    weights = Follow.objects.filter(portfolio=portfolio).aggregate(total=Sum("weight"))["total"]
    assert weights == Decimal(1)
    transfers = SliceEntry.objects.filter(slice__position__portfolio=portfolio, kind=SliceEntry.Kind.TRANSFER)
    assert transfers.aggregate(total=Sum("quantity"))["total"] in {None, Decimal(0)}
