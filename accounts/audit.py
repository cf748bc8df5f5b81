"""The audit log: who did or tried what, when, through which door, and what came of it (SEC-2).

Entries are only ever added; the database refuses everything else. An entry is written in the transaction
of what it speaks of, so that neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from accounts.models import AuditEntry, User

TEXT_LENGTH: Final = 300


def audit_write(
    *,
    action: str,
    outcome: str,
    via: str,
    actor: User | str,
    portfolio_id: int | None = None,
    text: str = "",
    data: Mapping[str, Any] | None = None,
    command_id: UUID | None = None,
    now: datetime,
) -> AuditEntry:
    """Add one entry.

    :param action: what was asked or done, subject first: "position.close", "breaker.reset"
    :param actor: the person, or the name of the part of the system that acted by itself
    :param data: what was asked, decimals as strings; never a secret
    """
    person = actor if isinstance(actor, User) else None
    return AuditEntry.objects.create(
        at=now,
        actor_id=person.pk if person else None,
        actor_name=person.email if person else str(actor),
        via=AuditEntry.Via(via).value,
        portfolio_id=portfolio_id,
        action=action,
        outcome=AuditEntry.Outcome(outcome).value,
        text=text[:TEXT_LENGTH],
        data=dict(data or {}),
        command_id=command_id,
    )
