"""Whose copy cycle runs when: nobody waits for good, however often the others are woken or workers die."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis

from accounts.models import Portfolio
from allocation.models import CapitalAccount
from core.clock import utc_now
from engine import copy_cycle, sending
from engine.copy_cycle import (
    CYCLE_EVERY,
    LATE_AFTER,
    cycle_run,
    cycle_turn,
    cycles_due,
    cycles_many,
    cycles_waiting,
)
from engine.models import CycleState
from engine.wake import ASK_AGAIN, cycles_wake
from tests.replaying import ReplayDriver, StillClock
from tests.running import TestProcesses, wait_until

MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The portfolios a worker was asked for, instead of asking one."""
    asked: list[int] = []
    monkeypatch.setattr(sending, "_send", lambda task, *arguments: asked.extend(arguments))
    return asked


def pair(arena: ReplayDriver, alice: Any) -> tuple[Portfolio, Portfolio]:
    """Two portfolios with a trader each; nothing is wanted or due of either for a minute."""
    names = ("Busy", "Quiet")
    busy, quiet = (arena.portfolio(alice, name=name, keys=("grok-4",), policy="perp") for name in names)
    rest(arena)
    return busy, quiet


def rest(arena: ReplayDriver, **fields: Any) -> None:
    calm = {"wanted_at": None, "asked_at": None, "next_at": arena.wall_at + CYCLE_EVERY}
    CycleState.objects.update(**(calm | fields))


def state(portfolio: Portfolio) -> CycleState:
    return CycleState.objects.get(portfolio=portfolio)


def test_a_turn_whose_message_is_lost_comes_again_in_seconds(arena: ReplayDriver, alice: Any) -> None:
    """DESIGN: a lost message costs a sweep. It used to cost the whole minute until the next turn."""
    busy, _ = pair(arena, alice)
    due_at = state(busy).next_at
    CycleState.objects.exclude(portfolio=busy).update(next_at=due_at + timedelta(hours=1))
    assert cycles_due(now=due_at - MOMENT) == []
    assert cycles_due(now=due_at) == [busy.pk]
    assert cycles_due(now=due_at + ASK_AGAIN - MOMENT) == []
    assert cycles_due(now=due_at + ASK_AGAIN) == [busy.pk]
    cycle_run(portfolio_id=busy.pk, now=due_at + ASK_AGAIN)
    assert state(busy).next_at == due_at + ASK_AGAIN + CYCLE_EVERY
    assert state(busy).asked_at is None
    assert cycles_due(now=due_at + 2 * ASK_AGAIN) == []


def test_a_wish_is_found_after_a_second_when_nobody_was_asked(arena: ReplayDriver, alice: Any) -> None:
    busy, _ = pair(arena, alice)
    CycleState.objects.filter(portfolio=busy).update(wanted_at=arena.wall_at)
    assert cycles_due(now=arena.wall_at + timedelta(seconds=1) - MOMENT) == []
    assert cycles_due(now=arena.wall_at + timedelta(seconds=1)) == [busy.pk]


@pytest.mark.django_db(transaction=True)
def test_one_message_is_under_way_however_often_it_is_woken(
    arena: ReplayDriver, alice: Any, sent: list[int]
) -> None:
    """A portfolio that is woken all the time used to fill the queue and keep the others out of it."""
    busy, quiet = pair(arena, alice)
    sent.clear()
    for place in range(20):
        cycles_wake(portfolio_ids=[busy.pk], now=arena.wall_at + place * MOMENT, why="a trader changed")
    cycles_wake(portfolio_ids=[busy.pk, quiet.pk], now=arena.wall_at + 20 * MOMENT, why="a trader changed")
    assert sent == [busy.pk, quiet.pk]
    cycles_wake(portfolio_ids=[busy.pk], now=arena.wall_at + ASK_AGAIN, why="a trader changed")
    assert sent == [busy.pk, quiet.pk, busy.pk]


@pytest.mark.django_db(transaction=True)
def test_a_wish_that_comes_while_it_is_decided_is_asked_for_at_its_end(
    arena: ReplayDriver, alice: Any, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message goes while a worker is at it; the wish is not forgotten for that."""
    busy, _ = pair(arena, alice)
    now = arena.wall_at
    cycles_wake(portfolio_ids=[busy.pk], now=now, why="first")
    sent.clear()
    real = copy_cycle.copy_plan

    def deciding(**given: Any) -> Any:
        monkeypatch.setattr(copy_cycle, "copy_plan", real)
        cycles_wake(portfolio_ids=[busy.pk], now=now + MOMENT, why="second")
        assert sent == []
        return real(**given)

    monkeypatch.setattr(copy_cycle, "copy_plan", deciding)
    cycle_turn(portfolio_id=busy.pk, now=now)
    assert sent == [busy.pk]
    assert state(busy).wanted_why == "second"
    cycle_turn(portfolio_id=busy.pk, now=now + 2 * MOMENT)
    assert (state(busy).wanted_at, state(busy).asked_at) == (None, None)
    assert sent == [busy.pk]


def test_a_turn_that_was_had_already_does_nothing(arena: ReplayDriver, alice: Any, sent: list[int]) -> None:
    busy, _ = pair(arena, alice)
    cycle_turn(portfolio_id=busy.pk, now=arena.wall_at)
    assert state(busy).ran_at is None
    CycleState.objects.filter(portfolio=busy).update(wanted_at=arena.wall_at)
    cycle_turn(portfolio_id=busy.pk, now=arena.wall_at)
    assert state(busy).ran_at == arena.wall_at
    cycle_turn(portfolio_id=busy.pk, now=arena.wall_at + MOMENT)
    assert state(busy).ran_at == arena.wall_at


def test_each_turn_takes_along_who_is_late(arena: ReplayDriver, alice: Any, sent: list[int]) -> None:
    busy, quiet = pair(arena, alice)
    late_at = state(quiet).next_at + LATE_AFTER
    CycleState.objects.filter(portfolio=busy).update(next_at=late_at + CYCLE_EVERY)
    cycle_turn(portfolio_id=busy.pk, now=late_at - MOMENT)
    assert state(quiet).ran_at is None
    cycle_turn(portfolio_id=busy.pk, now=late_at)
    assert (state(busy).ran_at, state(quiet).ran_at) == (None, late_at)


@pytest.mark.django_db(transaction=True)
def test_many_are_woken_by_few_messages_and_taken_from_the_database(
    arena: ReplayDriver, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYN: one trader's change may concern ten thousand; whose turn it is stands in the database alone."""
    tasks: list[str] = []
    monkeypatch.setattr(sending, "_send", lambda task, *_, **__: tasks.append(task))
    crowd = [
        arena.portfolio(alice, name=f"Crowd {number}", keys=("grok-4",), policy="perp")
        for number in range(sending.CYCLES_BY_NAME + 1)
    ]
    rest(arena)
    tasks.clear()
    now = arena.wall_at
    cycles_wake(portfolio_ids=[portfolio.pk for portfolio in crowd], now=now, why="a trader changed")
    assert tasks == ["plan.many"] * sending.PULLERS
    assert cycles_waiting(now=now + timedelta(seconds=1)) == len(crowd)
    clock = StillClock(now + timedelta(seconds=1))
    assert cycles_many(clock=clock, seconds=60) == len(crowd)
    assert [state(portfolio).ran_at for portfolio in crowd] == [clock.now()] * len(crowd)
    assert cycles_waiting(now=clock.now()) == 0
    assert cycles_many(clock=clock, seconds=60) == 0


@pytest.mark.slow
def test_a_worker_that_is_behind_starves_nobody(
    processes: TestProcesses, arena: ReplayDriver, alice: Any, redis_client: redis.Redis
) -> None:
    """300 messages for one portfolio lie before the worker, and beat's tick for the other, behind them, is
    long out of date when it is reached. The other's turn comes all the same, and one turn serves all 300."""
    busy, quiet = pair(arena, alice)
    now = utc_now()
    CycleState.objects.filter(portfolio=busy).update(wanted_at=now, next_at=now + timedelta(hours=1))
    CycleState.objects.filter(portfolio=quiet).update(next_at=now - timedelta(minutes=1))
    redis_client.delete("plan")
    version = CapitalAccount.objects.get(portfolio=busy).version
    for _ in range(300):
        sending.cycles_later([busy.pk])
    worker = processes.worker(queues=("orders", "plan", "upkeep"))
    wait_until(lambda: state(quiet).ran_at, timeout_s=30, what="the turn of the quiet one")
    wait_until(lambda: redis_client.llen("plan") == 0, timeout_s=30, what="an empty queue")
    worker.stop_ask()  # it ends what it has begun
    assert worker.wait(timeout_s=20)
    assert state(busy).ran_at is not None
    assert CapitalAccount.objects.get(portfolio=busy).version == version + 1  # each cycle that acts raises it
