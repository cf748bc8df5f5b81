"""Deciding conflicts that wait for their owner, and letting those lapse that nobody decided (CON-4).

Whoever decides first, owner, clock or a cycle that finds the wishes changed, takes the row with one
conditional UPDATE; the others learn what became of it. All three hold the capital row first, and raise its
version: a cycle that decided on the conflict as undecided starts over.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final

from django.db import DatabaseError, transaction

from accounts.models import Portfolio
from allocation.capital import capital_version_raise
from core.errors import InputError, NotFound
from core.types import ConflictRule
from engine.decisions import DecisionNote, decision_store
from engine.models import CycleState
from engine.publishing import portfolio_changed
from engine.wake import cycles_wake
from positions.models import ConflictApproval

logger = logging.getLogger(__name__)
LAPSED_AT_ONCE: Final = 500
_Status = ConflictApproval.Status


def approval_get(*, portfolio: Portfolio, approval_id: int) -> ConflictApproval:
    """Return one of a portfolio's approvals.

    :raises NotFound: it has none of this number
    """
    approval = ConflictApproval.objects.filter(portfolio=portfolio, pk=approval_id).first()
    if approval is None:
        raise NotFound(f"This portfolio has no approval {approval_id}.", field="approval_id")
    return approval


@transaction.atomic
def approval_decide(
    *, portfolio: Portfolio, approval_id: int, rule: str, by: str, now: datetime
) -> ConflictApproval:
    """Approve a conflict under a rule, or reject it; it counts for these wishes until they change.

    Deciding again what was decided the same way changes nothing.

    :param rule: one of ``ConflictRule``; empty rejects
    :param by: e-mail address of whoever decides
    :raises NotFound: the portfolio has no such approval
    :raises InputError: an unknown rule, or it lapsed, was decided otherwise, or is over
    """
    if rule and rule not in set(ConflictRule):
        raise InputError(f"“{rule}” is no conflict rule; choose combine, largest or first.", field="rule")
    capital_version_raise(portfolio_id=portfolio.pk)  # from here on no cycle acts on it as undecided
    status = _Status.APPROVED if rule else _Status.REJECTED
    waiting = ConflictApproval.objects.filter(
        portfolio=portfolio, pk=approval_id, status=_Status.WAITING, lapses_at__gt=now
    )
    at = max(now, _cycle_ran_at(portfolio) or now)  # never before a cycle that knew nothing of it
    decided = waiting.update(status=status, rule=rule, decided_at=at, decided_by=by)
    approval = approval_get(portfolio=portfolio, approval_id=approval_id)
    if not decided:
        if (approval.status, approval.rule) == (status, rule):
            return approval
        raise InputError(_too_late(approval), field="approval_id")
    name = approval.underlying
    text, then = f"Rejected the change of {name}", "The position stays as it is"
    if rule:
        text, then = f"Approved {name} under “{rule}”", "This rule counts"
    _tell(approval, text, f"{then} until a trader changes its wish. Decided by {by}.", now)
    return approval


def approvals_lapse(*, now: datetime) -> int:
    """End the approvals whose time is over undecided; return how many. The old target stands for them."""
    due = ConflictApproval.objects.filter(status=_Status.WAITING, lapses_at__lte=now)
    rows = due.select_related("portfolio").order_by("portfolio_id", "pk")
    return sum(_guarded(approval, now) for approval in rows[:LAPSED_AT_ONCE])


def _cycle_ran_at(portfolio: Portfolio) -> datetime | None:
    return CycleState.objects.values_list("ran_at", flat=True).filter(portfolio=portfolio).first()


def _guarded(approval: ConflictApproval, now: datetime) -> bool:
    """Let one lapse; its fault is its own."""
    try:
        return _lapse(approval, now)
    except DatabaseError:
        logger.exception("approval %s could not lapse; it counts as lapsed and is tried again", approval.pk)
        return False


@transaction.atomic
def _lapse(approval: ConflictApproval, now: datetime) -> bool:
    capital_version_raise(portfolio_id=approval.portfolio_id)
    waiting = ConflictApproval.objects.filter(pk=approval.pk, status=_Status.WAITING)
    if not waiting.update(status=_Status.LAPSED, decided_at=now):
        return False
    reason = "Nobody decided in time. The position stays as it is until a trader changes its wish."
    _tell(approval, f"Approval of {approval.underlying} lapsed", reason, now)
    return True


def _tell(approval: ConflictApproval, text: str, reason: str, now: datetime) -> None:
    """Keep the decision, wake the cycle, tell the pages."""
    note = DecisionNote(
        kind="approval",
        underlying=approval.underlying,
        text=text,
        reason=reason,
        follow_ids=[holder["follow_id"] for holder in approval.holders],
    )
    decision_store(portfolio=approval.portfolio, note=note, now=now)
    cycles_wake(portfolio_ids=[approval.portfolio_id], now=now, why="an approval was decided")
    portfolio_changed(portfolio_id=approval.portfolio_id)


def _too_late(approval: ConflictApproval) -> str:
    """Say why an approval cannot be decided any more."""
    name = approval.underlying
    if approval.status in (_Status.WAITING, _Status.LAPSED):
        return f"The approval of {name} has lapsed; you are asked again when a trader changes its wish."
    if approval.status == _Status.OVER:
        return f"The traders' wishes for {name} changed before you decided. Look at the newest question."
    done = f"approved under “{approval.rule}”" if approval.rule else "rejected"
    return f"The change of {name} was {done} already, by {approval.decided_by}."
