"""Approval of conflicts through database, cycle and commands: asked, answered, lapsed, overtaken (CON-4)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AuditEntry
from core.errors import InputError, NotFound
from engine.approvals import approval_decide, approvals_lapse
from engine.commands import command_accept, command_run
from engine.models import Command, Decision
from engine.selectors import portfolio_view
from positions.audit import books_audit
from positions.models import ConflictApproval, ConflictRecord
from tests.integration.engine.stage import Stage, stage_open
from tests.stateful.worlds import MadeUpWorld

D = Decimal
ALICE = "alice@example.com"


@pytest.fixture
def stage(made_up: MadeUpWorld, alice: Any) -> Stage:
    """Trader 1 holds 1 ETH of its 10,000, which is 0.5 ETH here; trader 2 holds nothing yet.

    The fee of that fill is why later targets lie a hair below the round number.
    """
    opened = stage_open(play=made_up, owner=alice, traders=2, conflict_rule="largest")
    opened.settings(approves_conflicts=True)
    opened.hold(1, "ETH", "1")
    opened.settle()
    assert opened.held("ETH") == D("0.5")
    return opened


def waiting(stage: Stage) -> ConflictApproval:
    return ConflictApproval.objects.get(portfolio=stage.portfolio, status="waiting")


def decide(stage: Stage, rule: str, approval: ConflictApproval | None = None) -> ConflictApproval:
    approval_id = (approval or waiting(stage)).pk
    return approval_decide(
        portfolio=stage.portfolio, approval_id=approval_id, rule=rule, by=ALICE, now=stage.play.now
    )


def test_a_conflict_waits_and_says_what_each_rule_would_do(stage: Stage) -> None:
    """CON-3, CON-4: stored once with its previews, told once, shown in the view; nothing is ordered."""
    before = stage.orders
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    stage.settle()
    assert (stage.orders, stage.held("ETH")) == (before, D("0.5"))
    approval = waiting(stage)
    assert ConflictApproval.objects.count() == 1
    assert (approval.underlying, approval.kind, approval.rule) == ("ETH", "overlap", "")
    assert approval.lapses_at - approval.asked_at == timedelta(minutes=15)
    assert approval.previews == {
        "combine": {"before": "0.5", "after": "1.2498", "notional": "4999.2", "capped": ""},
        "largest": {"before": "0.5", "after": "0.7499", "notional": "2999.6", "capped": ""},
        "first": {"before": "0.5", "after": "0.4999", "notional": "1999.6", "capped": ""},
    }
    assert stage.decisions("approval") == ["ETH overlap waits for your approval"]
    assert len(stage.decisions("delayed")) == 1
    record = ConflictRecord.objects.get(ended_at__isnull=True)
    assert (record.before_quantity, round(record.after_quantity, 4)) == (D("0.5"), D("0.4999"))
    shown = portfolio_view(portfolio=stage.portfolio)["conflicts"][str(record.pk)]["approval"]
    assert (shown["id"], shown["previews"]) == (approval.pk, approval.previews)
    assert shown["lapses_at"] == approval.lapses_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(("rule", "held"), [("combine", "1.2498"), ("largest", "0.7499"), ("first", "0.5")])
def test_approved_the_chosen_rule_is_carried_out(stage: Stage, rule: str, held: str) -> None:
    """CON-4: and nothing more is asked; the page's question is gone."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    approval = decide(stage, rule)
    assert (approval.status, approval.rule, approval.decided_by) == ("approved", rule, ALICE)
    stage.settle()
    assert stage.held("ETH") == D(held)
    assert not ConflictApproval.objects.filter(status="waiting").exists()
    record = ConflictRecord.objects.get(ended_at__isnull=True)
    assert record.rule == rule
    conflicts = portfolio_view(portfolio=stage.portfolio)["conflicts"]
    assert conflicts[str(record.pk)]["approval"] is None
    assert stage.decisions("approval")[-1] == f"Approved ETH under “{rule}”"
    assert books_audit() == []


def test_an_approval_does_not_rebalance_the_rest(stage: Stage) -> None:
    """CON-4, ALL-4: BTC has drifted by less than 10 %; approving ETH leaves it alone."""
    stage.hold(1, "BTC", "0.02")
    stage.settle()
    bitcoin = stage.held("BTC")
    stage.hold(2, "ETH", "1.5")
    stage.price("BTC", "104000")
    stage.settle()
    decide(stage, "combine")
    stage.settle()
    assert stage.held("BTC") == bitcoin


def test_rejected_the_position_stays_until_a_wish_changes(stage: Stage) -> None:
    """CON-4."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    decide(stage, "")
    stage.settle()
    assert stage.held("ETH") == D("0.5")
    assert not ConflictApproval.objects.filter(status="waiting").exists()
    stage.hold(2, "ETH", "1.6")
    stage.settle()
    assert waiting(stage).previews["first"]["after"] == "0.4999"
    assert [a.status for a in ConflictApproval.objects.order_by("pk")] == ["rejected", "waiting"]


def test_undecided_it_lapses_after_a_quarter_of_an_hour(stage: Stage) -> None:
    """CON-4: at the second, also before the sweep has written it down; then the sweep does, once."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    approval = waiting(stage)
    stage.play.now = approval.lapses_at - timedelta(seconds=1)
    assert approvals_lapse(now=stage.play.now) == 0
    stage.play.now = approval.lapses_at
    stage.play.marks_write()
    stage.settle()
    assert stage.held("ETH") == D("0.5")
    assert waiting(stage).pk == approval.pk
    with pytest.raises(InputError, match="has lapsed"):
        decide(stage, "combine")
    assert (approvals_lapse(now=stage.play.now), approvals_lapse(now=stage.play.now)) == (1, 0)
    stage.settle()
    assert stage.held("ETH") == D("0.5")
    assert not ConflictApproval.objects.filter(status="waiting").exists()
    assert stage.decisions("approval")[-1] == "Approval of ETH lapsed"


def test_a_traders_close_passes_while_it_waits(stage: Stage) -> None:
    """CON-4: trader 1 closes; its slice is sold, and trader 2 alone is copied, for that is no conflict."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    approval = waiting(stage)
    stage.hold(1, "ETH", "0")
    stage.settle()
    assert stage.slices("ETH") == {2: D("0.7499")}
    approval.refresh_from_db()
    assert approval.status == "over"
    with pytest.raises(InputError, match="changed before you decided"):
        decide(stage, "combine", approval)


def test_deciding_twice_the_same_way_is_harmless_and_otherwise_refused(stage: Stage) -> None:
    """CON-4, VIEW-3: a command that is run again finds it done."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    approval = decide(stage, "combine")
    assert decide(stage, "combine", approval).decided_at == approval.decided_at
    with pytest.raises(InputError, match="approved under “combine” already, by alice"):
        decide(stage, "", approval)
    with pytest.raises(InputError, match="no conflict rule"):
        decide(stage, "biggest", approval)
    assert Decision.objects.filter(kind="approval", text__startswith="Approved").count() == 1


def test_charlie_decides_nothing(stage: Stage, charlie: Any) -> None:
    """SEC-1: another's approval is not found, neither by the service nor by a command."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    approval = waiting(stage)
    theirs = stage_open(play=stage.play, owner=charlie, traders=2, name="Theirs").portfolio
    with pytest.raises(NotFound):
        approval_decide(portfolio=theirs, approval_id=approval.pk, rule="combine", by="c", now=stage.play.now)
    with pytest.raises(InputError, match="has no approval"):
        command_accept(
            portfolio=theirs,
            kind="approve",
            data={"approval_id": approval.pk, "rule": "combine"},
            key="theirs",
            asked_by=charlie,
            via="page",
            now=stage.play.now,
        )
    approval.refresh_from_db()
    assert approval.status == "waiting"


@pytest.mark.parametrize(
    ("kind", "rule", "status", "answer"),
    [
        ("approve", "first", "approved", "“first” counts for ETH until a trader changes its wish."),
        ("reject", "", "rejected", "ETH stays as it is until a trader changes its wish."),
    ],
)
def test_an_owner_decides_by_command(
    stage: Stage, alice: Any, kind: str, rule: str, status: str, answer: str
) -> None:
    """VIEW-3, SEC-2: accepted, carried out, answered, kept for audit."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    approval = waiting(stage)
    data = {"approval_id": approval.pk} | ({"rule": rule} if rule else {})
    command = command_accept(
        portfolio=stage.portfolio,
        kind=kind,
        data=data,
        key="k1",
        asked_by=alice,
        via="page",
        now=stage.play.now,
    )
    assert command_run(command_id=command.pk, now=stage.play.now) == "done"
    command = Command.objects.get(pk=command.pk)
    approval.refresh_from_db()
    assert (approval.status, approval.rule, approval.decided_by) == (status, rule, alice.email)
    assert command.answer == answer
    outcomes = AuditEntry.objects.filter(command_id=command.pk).order_by("pk")
    assert [(entry.action, entry.outcome) for entry in outcomes] == [
        (f"conflict.{kind}", "accepted"),
        (f"conflict.{kind}", "done"),
    ]


def test_a_command_for_what_is_over_is_refused_in_words(stage: Stage, alice: Any) -> None:
    """VIEW-3, CON-4: the wishes changed between the press and the worker."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    command = command_accept(
        portfolio=stage.portfolio,
        kind="approve",
        data={"approval_id": waiting(stage).pk, "rule": "combine"},
        key="late",
        asked_by=alice,
        via="page",
        now=stage.play.now,
    )
    stage.hold(2, "ETH", "1.8")
    stage.settle()
    assert command_run(command_id=command.pk, now=stage.play.now) == "refused"
    assert "changed before you decided" in Command.objects.get(pk=command.pk).answer
    assert stage.held("ETH") == D("0.5")


def test_switched_off_conflicts_are_settled_by_rule_at_once(stage: Stage) -> None:
    """CON-4: what waited is over."""
    stage.hold(2, "ETH", "1.5")
    stage.settle()
    stage.settings(approves_conflicts=False)
    stage.settle()
    assert stage.held("ETH") == D("0.7499")  # the portfolio's own rule is “largest”
    assert [a.status for a in ConflictApproval.objects.all()] == ["over"]
