"""Commands that approve or reject a conflict (CON-4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from accounts.models import Portfolio
from core.types import ConflictRule
from engine.approvals import approval_decide, approval_get
from engine.domain.command_data import choice_read, fields_known, id_read
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command


def approve_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the approval's number and the rule."""
    fields_known(data, "approval_id", "rule")
    return {
        "approval_id": id_read(data, "approval_id"),
        "rule": choice_read(data, "rule", [rule.value for rule in ConflictRule]),
    }


def reject_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the approval's number."""
    fields_known(data, "approval_id")
    return {"approval_id": id_read(data, "approval_id")}


def approval_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse an approval that is not this portfolio's."""
    approval_get(portfolio=portfolio, approval_id=data["approval_id"])


def decide_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Decide; a second run finds it decided the same way."""
    rule = command.data.get("rule", "")
    approval = approval_decide(
        portfolio=portfolio,
        approval_id=command.data["approval_id"],
        rule=rule,
        by=command.asked_by.email if command.asked_by else "the system",
        now=now,
    )
    said = f"“{rule}” counts for {approval.underlying}" if rule else f"{approval.underlying} stays as it is"
    result = {"approval_id": approval.pk, "status": approval.status, "rule": approval.rule}
    return CommandAnswer(done=True, text=f"{said} until a trader changes its wish.", result=result)


HANDLERS: Final = {
    Command.Kind.APPROVE.value: CommandHandler(
        action="conflict.approve", check=approve_check, refer=approval_refer, run=decide_run
    ),
    Command.Kind.REJECT.value: CommandHandler(
        action="conflict.reject", check=reject_check, refer=approval_refer, run=decide_run
    ),
}
