"""Many portfolios decide anew on rows read at once: the same decisions, few statements, no contagion."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Portfolio
from allocation.capital import capital_version_raise
from engine import copy_cycle
from engine.copy_cycle import cycle_run, cycles_many
from engine.gather import cycle_gather
from engine.models import CycleState, Decision
from engine.rows import rows_read
from execution.models import Order
from positions.audit import books_audit
from tests.replaying import ReplayDriver, StillClock

KEYS = ("grok-4", "qwen3-max")
SHARED_MOST = 26  # statements that a batch reads with, however many are in it


@pytest.fixture
def crowd(arena: ReplayDriver, alice: Any) -> list[Portfolio]:
    """Five portfolios of two kinds that have copied two traders for a while, all wanted again."""
    portfolios = [
        arena.portfolio(alice, name=f"Crowd {place}", keys=KEYS, policy=("perp", "spot")[place % 2])
        for place in range(5)
    ]
    arena.forward(600)
    arena.observe(KEYS)
    arena.settle(steps=3)
    CycleState.objects.update(wanted_at=arena.wall_at, asked_at=None, forced_all=True)
    return portfolios


def test_read_together_each_gets_what_it_would_read_alone(
    arena: ReplayDriver, crowd: list[Portfolio]
) -> None:
    """Every input of every portfolio is equal, to the last row."""
    now = arena.wall_at
    cycles = {cycle.portfolio_id: cycle for cycle in CycleState.objects.select_related("portfolio")}
    rows = rows_read(portfolios=crowd, world=arena.world, now=now)
    assert sorted(rows) == sorted(portfolio.pk for portfolio in crowd)
    held = 0
    for pk, own in rows.items():
        alone = cycle_gather(cycle=cycles[pk], world=arena.world, now=now)
        together = cycle_gather(cycle=cycles[pk], world=arena.world, now=now, rows=own)
        for field in fields(alone.inputs):
            assert getattr(together.inputs, field.name) == getattr(alone.inputs, field.name), field.name
        assert (together.version, together.positions, together.follows, together.legs) == (
            alone.version,
            alone.positions,
            alone.follows,
            alone.legs,
        )
        held += len(alone.positions)
    assert held > 0


def test_reading_takes_as_many_statements_for_five_as_for_one(
    arena: ReplayDriver, crowd: list[Portfolio]
) -> None:
    """What is shared is read once, and the rest in one statement for each kind of row."""
    counts = []
    for portfolios in (crowd[:1], crowd):
        with CaptureQueriesContext(connection) as read:
            rows_read(portfolios=portfolios, world=arena.world, now=arena.wall_at)
        counts.append(len(read))
    assert counts[0] == counts[1] <= SHARED_MOST


def test_one_that_fails_stops_nobody_else(
    arena: ReplayDriver, crowd: list[Portfolio], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A fault in one decision is logged, its portfolio stays wanted, and the others have decided."""
    bad, real = crowd[2].pk, copy_cycle.copy_plan

    def faulty(*, inputs: Any) -> Any:
        if any(follow.follow_id in mine for follow in inputs.follows):
            raise RuntimeError("a fault of ours")
        return real(inputs=inputs)

    mine = set(crowd[2].follows.values_list("pk", flat=True))
    monkeypatch.setattr(copy_cycle, "copy_plan", faulty)
    clock = StillClock(arena.wall_at)
    assert cycles_many(clock=clock) == len(crowd)
    states = {state.portfolio_id: state for state in CycleState.objects.all()}
    assert states[bad].wanted_at is not None
    assert {pk for pk, state in states.items() if state.wanted_at is None} == set(states) - {bad}
    assert f"the copy cycle of portfolio {bad} failed" in caplog.text
    assert books_audit() == []


def test_who_was_booked_on_meanwhile_reads_anew(
    arena: ReplayDriver, crowd: list[Portfolio], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that was read is not the version any more: nothing is written, the cycle starts over."""
    real, seen = copy_cycle.plan_act, []

    def booked_before(*, plan: Any, gathered: Any) -> Any:
        seen.append(gathered.version)
        if len(seen) == 1:
            capital_version_raise(portfolio_id=gathered.portfolio.pk)
        return real(plan=plan, gathered=gathered)

    monkeypatch.setattr(copy_cycle, "plan_act", booked_before)
    assert cycles_many(clock=StillClock(arena.wall_at)) == len(crowd)
    assert len(seen) == len(crowd) + 1
    assert seen[1] == seen[0] + 1
    assert not CycleState.objects.filter(wanted_at__isnull=False).exists()


def test_rows_that_cannot_be_read_together_are_read_alone(
    arena: ReplayDriver, crowd: list[Portfolio], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A fault in the shared reading costs statements, not decisions."""

    def broken(**_: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(copy_cycle, "rows_read", broken)
    assert cycles_many(clock=StillClock(arena.wall_at)) == len(crowd)
    assert "could not be read together" in caplog.text
    assert not CycleState.objects.filter(wanted_at__isnull=False).exists()


def test_together_or_alone_the_same_is_decided(arena: ReplayDriver, alice: Any) -> None:
    """Two portfolios alike, one decided with others and one alone: the same orders and the same reasons."""
    one, other = (arena.portfolio(alice, name=name, keys=KEYS, policy="perp") for name in ("A", "B"))
    arena.forward(600)
    arena.observe(KEYS)
    CycleState.objects.update(wanted_at=None, asked_at=None)
    CycleState.objects.filter(portfolio=one).update(wanted_at=arena.wall_at)
    CycleState.objects.filter(portfolio=other).update(next_at=arena.wall_at + timedelta(days=1))
    assert cycles_many(clock=StillClock(arena.wall_at)) == 1
    cycle_run(portfolio_id=other.pk, now=arena.wall_at)
    for model, columns in (
        (Order, ("instrument_id", "side", "quantity", "limit_price", "reason")),
        (Decision, ("kind", "underlying", "text", "reason")),
    ):
        rows = [
            list(model.objects.filter(portfolio=portfolio).order_by("pk").values_list(*columns))
            for portfolio in (one, other)
        ]
        assert rows[0] == rows[1]
