"""Owner, clock and cycle decide a conflict at the same moment, on connections of their own (CON-4)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from core.errors import InputError
from engine.approvals import approval_decide, approvals_lapse
from engine.copy_cycle import cycle_run
from engine.domain.copy import copy_plan
from engine.domain.copy_types import CopyInputs
from engine.domain.plan_types import CopyPlan
from execution.models import Order
from positions.models import ConflictApproval
from tests.integration.engine.stage import Stage, stage_open
from tests.integration.engine.test_races import aside, at_once
from tests.stateful.worlds import MadeUpWorld

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE_LAPSE = timedelta(seconds=1)


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """Trader 1 is copied, trader 2 wants the same, and the owner is asked."""
    opened = stage_open(play=made_up, owner=alice, traders=2)
    opened.settings(approves_conflicts=True)
    opened.hold(1, "ETH", "1")
    opened.settle()
    opened.hold(2, "ETH", "1.5")
    opened.settle()
    return opened


def asked(stage: Stage) -> ConflictApproval:
    return ConflictApproval.objects.get(portfolio=stage.portfolio, status="waiting")


def test_of_all_who_decide_at_once_one_decides(stage: Stage) -> None:
    """CON-4: the others are told, nothing is written twice."""
    approval = asked(stage)
    just = approval.lapses_at - BEFORE_LAPSE
    decide = partial(approval_decide, portfolio=stage.portfolio, approval_id=approval.pk, by="a", now=just)
    results = at_once(
        *(partial(decide, rule=rule) for rule in ("combine", "largest", "first", "")),
        lambda: approvals_lapse(now=approval.lapses_at),
    )
    approval.refresh_from_db()
    lapsed = results.pop()
    won = [result for result in results if isinstance(result, ConflictApproval)]
    assert len(won) + lapsed == 1
    assert all(isinstance(result, InputError) for result in results if result not in won)
    if won:
        assert (approval.status, approval.rule) == (won[0].status, won[0].rule)
    else:
        assert approval.status == "lapsed"
    assert len(stage.decisions("approval")) == 2  # asked, and one end


def test_an_approval_in_the_middle_of_a_cycle_is_not_missed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CON-4: the cycle had decided that the conflict waits; it starts over and carries the approval out."""
    approval = asked(stage)
    orders = Order.objects.count()
    calls: list[int] = []

    def decided_meanwhile(*, inputs: CopyInputs) -> CopyPlan:
        plan = copy_plan(inputs=inputs)
        if not calls:
            approve = partial(approval_decide, rule="combine", by="a", now=stage.play.now)
            aside(lambda: approve(portfolio=stage.portfolio, approval_id=approval.pk))
        calls.append(len(plan.orders))
        return plan

    monkeypatch.setattr("engine.copy_cycle.copy_plan", decided_meanwhile)
    later = stage.play.now + timedelta(seconds=5)  # the cycle's clock is ahead of the owner's
    cycle_run(portfolio_id=stage.portfolio.pk, now=later)
    assert calls == [0, 1]
    assert Order.objects.count() == orders + 1


def test_a_changed_wish_and_an_approval_at_once_leave_one_question(stage: Stage) -> None:
    """CON-4: whoever comes second finds the other's work: never a rule for wishes it was not asked about."""
    approval = asked(stage)
    stage.hold(2, "ETH", "1.8")
    decide = partial(
        approval_decide, portfolio=stage.portfolio, approval_id=approval.pk, rule="combine", by="a"
    )
    at_once(
        lambda: cycle_run(portfolio_id=stage.portfolio.pk, now=stage.play.now),
        lambda: decide(now=stage.play.now),
    )
    cycle_run(portfolio_id=stage.portfolio.pk, now=stage.play.now)
    approval.refresh_from_db()
    assert approval.status in {"approved", "over"}
    assert asked(stage).fingerprint != approval.fingerprint
    assert stage.held("ETH") == stage.slices("ETH")[1]  # trader 2 has nothing yet
