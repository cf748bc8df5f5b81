"""CON-5: conflicts of a whole recording reach their resolved target, without a person, within the limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Portfolio
from allocation.own_limits import limits_of
from core.types import Policy
from engine import publishing, sending
from engine.models import Decision
from markets.models import Instrument, Mark
from markets.recordings import ALPHA_ARENA
from positions.models import ConflictRecord, Position
from positions.valuation import portfolio_equity
from tests.replaying import ReplayDriver
from traders.recordings import recorded_events_between

KEYS = ("deepseek-chat-v3.1", "qwen3-max", "grok-4", "gemini-2.5-pro")
SPEED = Decimal(60)
TICK_S = 60.0  # an hour of the recording
WITHIN = Decimal("0.10")
SLACK = Decimal("1.01")  # prices and equity move between a decision and its fill


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no message: the driver itself does what workers and pages would be asked to do."""
    monkeypatch.setattr(sending, "_send", lambda *_: None)
    monkeypatch.setattr(publishing, "_poke", lambda *_: None)


@dataclass
class Watch:
    """Looks at a portfolio after every step: which conflicts have arrived, and whether a limit was broken."""

    portfolio: Portfolio
    seen: set[int] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)
    held: dict[str, Decimal] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def look(self, driver: ReplayDriver) -> None:
        """Take note of where everything stands now."""
        marks = dict(Mark.objects.filter(world=driver.world_name).values_list("instrument_id", "price"))
        held = dict(
            Position.objects.filter(portfolio=self.portfolio)
            .exclude(status=Position.Status.CLOSED)
            .values_list("underlying", "quantity")
        )
        for record in ConflictRecord.objects.filter(portfolio=self.portfolio):
            self.seen.add(record.pk)
            if record.ended_at is None and self._arrived(record, held.get(record.underlying, Decimal(0))):
                self.reached.add(record.pk)
        self._limits(held, marks)
        self.held = held

    def _arrived(self, record: ConflictRecord, held: Decimal) -> bool:
        """Within 10 % of the target, or nearer than the venue's smallest order could bring it."""
        missing = abs(held - record.after_quantity)
        least = Instrument.objects.get(code=record.underlying).min_notional
        return missing <= WITHIN * abs(record.after_quantity) or missing * record.mark_price < least

    def _limits(self, held: dict[str, Decimal], marks: dict[str, Decimal]) -> None:
        """Measure what grew since the last look."""
        grown = {u for u, quantity in held.items() if abs(quantity) > abs(self.held.get(u, Decimal(0)))}
        limits, equity = limits_of(portfolio=self.portfolio), portfolio_equity(portfolio=self.portfolio)
        sizes = {u: abs(quantity) * marks[u] for u, quantity in held.items()}
        for underlying in grown:
            if sizes[underlying] > limits.max_position * equity * SLACK:
                self.broken.append(f"{underlying} {sizes[underlying]} of {equity}")
        if grown and sum(sizes.values()) > limits.max_gross * equity * SLACK:
            self.broken.append(f"gross {sizes} of {equity}")
        if grown and len(held) > limits.max_positions:
            self.broken.append(f"{len(held)} positions")


def test_conflicts_reach_their_target_without_a_person(
    transactional_db: None, nobody_listens: None, alice: Any
) -> None:
    """CON-5: at least 98 % within 10 %; no limit broken; every conflict's resolution is recorded."""
    driver = ReplayDriver(ALPHA_ARENA, speed=SPEED).start()
    portfolio = driver.portfolio(
        alice,
        name="Four",
        keys=KEYS,
        policy=Policy.PERP.value,
        risk_profile="balanced",
        auto_rebalance=True,  # else drift beyond 10 % waits for a person
    )
    watch = Watch(portfolio)
    seen_at = driver.world_at
    while not driver.world.clock().ended(driver.wall_at):
        driver.forward(TICK_S)
        at = driver.world_at
        driver.observe(recorded_events_between(world=driver.world_name, after_at=seen_at, until_at=at))
        seen_at = at
        driver.settle(steps=4)
        driver.keep()
        watch.look(driver)

    assert watch.broken == []
    assert len(watch.seen) >= 40
    missed = ConflictRecord.objects.filter(pk__in=watch.seen - watch.reached)
    told = [f"{r.underlying} {r.after_quantity} {r.capped_reason} {r.at} {r.ended_at}" for r in missed]
    assert len(watch.reached) / len(watch.seen) >= 0.98, told
    assert not Decision.objects.filter(kind="approval").exists()  # no person was asked
