"""Commands that pause and resume a trader."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from accounts.models import Portfolio
from allocation.follows import follows_current
from allocation.models import Follow
from core.errors import NotFound
from engine.domain.command_data import fields_known, id_read
from engine.follows import follow_pause, follow_resume
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command


def follow_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the follow's number."""
    fields_known(data, "follow_id")
    return {"follow_id": id_read(data, "follow_id")}


def follow_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse a follow that is not this portfolio's."""
    _follow(portfolio, data)


def pause_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Pause; pausing a paused one changes nothing."""
    follow = follow_pause(follow=_follow(portfolio, command.data), now=now)
    text = f"{follow.trader.name} is paused: no entries; reductions and exits continue."
    return CommandAnswer(done=True, text=text, result={"follow_id": follow.pk})


def resume_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Resume; resuming an active one changes nothing."""
    follow = follow_resume(follow=_follow(portfolio, command.data), now=now)
    text = f"{follow.trader.name} is copied again; what it opened meanwhile is not."
    return CommandAnswer(done=True, text=text, result={"follow_id": follow.pk})


def _follow(portfolio: Portfolio, data: Mapping[str, Any]) -> Follow:
    for follow in follows_current(portfolio_id=portfolio.pk):
        if follow.pk == data["follow_id"]:
            follow.portfolio = portfolio
            return follow
    raise NotFound(f"This portfolio follows nobody under the number {data['follow_id']}.", field="follow_id")


HANDLERS: Final = {
    Command.Kind.FOLLOW_PAUSE.value: CommandHandler(
        action="follow.pause", check=follow_check, refer=follow_refer, run=pause_run
    ),
    Command.Kind.FOLLOW_RESUME.value: CommandHandler(
        action="follow.resume", check=follow_check, refer=follow_refer, run=resume_run
    ),
}
