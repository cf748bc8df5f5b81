"""Commands that stop and start a portfolio: emergency stop and drill, resume, reset (RSK-2, RSK-3)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from accounts.models import Portfolio
from allocation.models import BreakerTrip
from core.errors import InputError, NotFound
from engine.domain.command_data import fields_known, flag_read, id_read, text_read
from engine.emergency import emergency_drill, emergency_freeze, emergency_stop, portfolio_resume
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command
from engine.resets import trip_reset

FLAT_WITHIN: Final = timedelta(minutes=10)


def _who(command: Command) -> str:
    return command.asked_by.email if command.asked_by else "the system"


# ---------------------------------------------------------------- emergency stop
def stop_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the portfolio's name, typed to confirm, and a reason if there is one."""
    fields_known(data, "confirm", "reason")
    return {
        "confirm": text_read(data, "confirm"),
        "reason": text_read(data, "reason", longest=160, required=False),
    }


def stop_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse a name that is not the portfolio's."""
    if data["confirm"] != " ".join(portfolio.name.split()):
        raise InputError(f"Type the portfolio's name to confirm: {portfolio.name}.", field="confirm")


def stop_at_once(command: Command, now: datetime) -> None:
    """Freeze the moment the command is accepted, so that nothing opens while it waits for a worker."""
    emergency_freeze(
        portfolio_id=command.portfolio_id, by=_who(command), reason=command.data["reason"], now=now
    )


def stop_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Cancel and close everything, and follow it until nothing is open."""
    answer = emergency_stop(
        portfolio_id=portfolio.pk, by=_who(command), reason=command.data["reason"], now=now
    )
    result = {"positions": answer.positions, "orders": answer.orders, "left": list(answer.left)}
    return CommandAnswer(done=answer.flat, text=answer.text, result=result)


# ---------------------------------------------------------------- drill, resume, reset
def drill_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take nothing."""
    fields_known(data)
    return {}


def drill_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Measure what a stop would take and do, and send nothing (BEY-8)."""
    answer = emergency_drill(portfolio_id=portfolio.pk, now=now)
    result = {
        "seconds": f"{answer.seconds:.3f}",
        "closes": list(answer.closes),
        "cancels": answer.cancels,
        "left": list(answer.left),
    }
    return CommandAnswer(done=True, text=answer.text, result=result)


def resume_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take why it may go on, and whether also while something is open."""
    fields_known(data, "reason", "even_open")
    return {"reason": text_read(data, "reason"), "even_open": flag_read(data, "even_open")}


def resume_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Lift what closed everything and copy from here on; a run that was done already says the same."""
    done = BreakerTrip.objects.filter(portfolio=portfolio, reset_at__gte=command.accepted_at)
    if command.attempts > 1 and done.filter(reset_by=_who(command)).exists():
        return CommandAnswer(done=True, text="Resumed.")
    answer = portfolio_resume(
        portfolio_id=portfolio.pk,
        by=_who(command),
        reason=command.data["reason"],
        even_open=command.data["even_open"],
        now=now,
    )
    result = {"lifted": list(answer.lifted), "standing": list(answer.standing)}
    return CommandAnswer(done=True, text=answer.text, result=result)


def reset_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the trip's number and why it may go on."""
    fields_known(data, "trip_id", "reason")
    return {"trip_id": id_read(data, "trip_id"), "reason": text_read(data, "reason")}


def reset_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse a trip that is not this portfolio's."""
    if not BreakerTrip.objects.filter(portfolio=portfolio, pk=data["trip_id"]).exists():
        raise NotFound(f"This portfolio has no trip {data['trip_id']}.", field="trip_id")


def reset_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Lift one trip, and say whether its cause still holds."""
    answer = trip_reset(
        portfolio_id=portfolio.pk,
        trip_id=command.data["trip_id"],
        by=_who(command),
        reason=command.data["reason"],
        now=now,
    )
    result = {"lifted": list(answer.lifted), "standing": list(answer.standing)}
    return CommandAnswer(done=True, text=answer.text, result=result)


HANDLERS: Final = {
    Command.Kind.EMERGENCY_STOP.value: CommandHandler(
        action="portfolio.emergency_stop",
        check=stop_check,
        refer=stop_refer,
        at_once=stop_at_once,
        run=stop_run,
        within=FLAT_WITHIN,
    ),
    Command.Kind.DRILL.value: CommandHandler(action="portfolio.drill", check=drill_check, run=drill_run),
    Command.Kind.RESUME.value: CommandHandler(action="portfolio.resume", check=resume_check, run=resume_run),
    Command.Kind.BREAKER_RESET.value: CommandHandler(
        action="breaker.reset", check=reset_check, refer=reset_refer, run=reset_run
    ),
}
