"""Approvals of conflicts as they are stored: what was last asked, and what came of it (CON-4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from core.types import ConflictRule
from positions.domain.approvals import Approval, ApprovalStatus
from positions.models import ConflictApproval


def approvals_newest_of(
    *, portfolio_ids: Collection[int], run: int
) -> dict[int, dict[str, ConflictApproval]]:
    """Return the newest approval of every underlying in one run, by portfolio and underlying."""
    rows = ConflictApproval.objects.filter(portfolio__in=portfolio_ids, run=run)
    found: dict[int, dict[str, ConflictApproval]] = {}
    newest = rows.order_by("portfolio_id", "underlying", "-pk").distinct("portfolio_id", "underlying")
    for row in newest:
        found.setdefault(row.portfolio_id, {})[row.underlying] = row
    return found


def approval_known(*, row: ConflictApproval, now: datetime) -> Approval:
    """Return what the deciding code knows of an approval; one whose time is over counts as lapsed."""
    status = ApprovalStatus(row.status)
    if status is ApprovalStatus.WAITING and row.lapses_at <= now:
        status = ApprovalStatus.LAPSED
    return Approval(wishes=row.fingerprint, status=status, rule=ConflictRule(row.rule) if row.rule else None)


def approvals_fresh(*, rows: Mapping[str, ConflictApproval], since: datetime | None) -> frozenset[str]:
    """Return the underlyings approved since a moment: their targets are placed anew."""
    return frozenset(
        underlying
        for underlying, row in rows.items()
        if row.status == ConflictApproval.Status.APPROVED
        and row.decided_at is not None
        and (since is None or row.decided_at >= since)
    )
