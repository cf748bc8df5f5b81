"""Asking the owner about a conflict, and storing what each rule would make of it (CON-4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings

from core.decimals import plain
from core.types import ConflictRule
from engine.alerting import conflicts_tell
from engine.decisions import DecisionNote, decisions_store
from engine.domain.plan_types import ApprovalAsk, ConflictHolder, CopyPlan
from engine.gather import Gathered
from positions.models import ConflictApproval


def approvals_store(*, plan: CopyPlan, gathered: Gathered) -> None:
    """End what waits for nothing any more, and ask what is new. Belongs in the cycle's transaction."""
    waiting = ConflictApproval.objects.filter(
        portfolio=gathered.portfolio, status=ConflictApproval.Status.WAITING
    )
    asked = [ask.underlying for ask in plan.asks]
    waiting.filter(underlying__in=[*plan.approvals_over, *asked]).update(
        status=ConflictApproval.Status.OVER, decided_at=gathered.now
    )
    asked_now = ConflictApproval.objects.bulk_create(_row(ask, gathered) for ask in plan.asks)
    if plan.asks:
        decisions_store(
            portfolio_id=gathered.portfolio.pk,
            notes=[_note(ask) for ask in plan.asks],
            now=gathered.now,
            world_at=gathered.world_at,
            run=gathered.world.run,
        )
        conflicts_tell(approvals=asked_now, at=gathered.now)


def holder_written(*, holder: ConflictHolder) -> dict[str, Any]:
    """Return a holder as JSON: decimals as plain strings, times as ISO-8601."""
    return {
        "follow_id": holder.follow_id,
        "side": holder.side.value,
        "quantity": plain(holder.quantity),
        "notional": plain(holder.notional),
        "counted": holder.counted,
        "opened_at": holder.opened_at.isoformat() if holder.opened_at else None,
    }


def _row(ask: ApprovalAsk, gathered: Gathered) -> ConflictApproval:
    return ConflictApproval(
        portfolio=gathered.portfolio,
        underlying=ask.underlying,
        kind=ask.kind.value,
        fingerprint=ask.wishes,
        holders=[holder_written(holder=holder) for holder in ask.holders],
        previews={
            rule.value: {
                "before": plain(preview.before),
                "after": plain(preview.after),
                "notional": plain(preview.notional),
                "capped": preview.capped,
            }
            for rule, preview in ask.previews.items()
        },
        run=gathered.world.run,
        asked_at=gathered.now,
        lapses_at=gathered.now + timedelta(minutes=settings.APPROVAL_TIMEOUT_MINUTES),
    )


def _note(ask: ApprovalAsk) -> DecisionNote:
    before = next(iter(ask.previews.values())).before
    each = ", ".join(f"{rule.value} {plain(ask.previews[rule].after)}" for rule in ConflictRule)
    return DecisionNote(
        kind="approval",
        underlying=ask.underlying,
        text=f"{ask.underlying} {ask.kind.value} waits for your approval",
        reason=f"From {plain(before)} each rule would lead to: {each}. Undecided, it lapses in "
        f"{settings.APPROVAL_TIMEOUT_MINUTES} minutes and the position stays as it is.",
        follow_ids=[holder.follow_id for holder in ask.holders],
    )
