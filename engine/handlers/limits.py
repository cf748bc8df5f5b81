"""The command that changes limits, breakers' thresholds or the risk profile (RSK-1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from accounts.models import PROFILE_CHOICES, Portfolio
from allocation.domain.own_limits import FIELDS, PLACES, Value
from allocation.own_limits import limits_complete, limits_values
from core.decimals import plain
from core.errors import InputError
from engine.domain.command_data import choice_read, decimal_read, fields_known
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.limits import limits_change
from engine.models import Command

_PROFILES: Final = [name for name, _ in PROFILE_CHOICES]


def limits_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take a profile and numbers: fractions of 1 as text, "0.05" is 5 %; whole numbers for counts."""
    fields_known(data, "profile", *FIELDS)
    clean: dict[str, Any] = {}
    if "profile" in data:
        clean["profile"] = choice_read(data, "profile", _PROFILES)
    for name, field in FIELDS.items():
        if name in data:
            number = decimal_read(data, name, most=field.most, places=0 if field.counts else PLACES)
            clean[name] = plain(number)
    if not clean:
        raise InputError("Name a profile, or at least one number to change.")
    return clean


def limits_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse at once what makes no sense beside the numbers that stay."""
    limits_complete(portfolio=portfolio, values=_values(data))


def limits_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Change them; every target is placed anew."""
    warnings = limits_change(
        portfolio=portfolio, profile=command.data.get("profile", ""), values=_values(command.data), now=now
    )
    text = " ".join(["Limits changed; every target is placed anew.", *warnings])
    values = {name: str(value) for name, value in limits_values(portfolio=portfolio).items()}
    return CommandAnswer(done=True, text=text, result={"values": values, "warnings": warnings})


def _values(data: Mapping[str, Any]) -> dict[str, Value]:
    return {
        name: int(data[name]) if field.counts else Decimal(data[name])
        for name, field in FIELDS.items()
        if name in data
    }


HANDLERS: Final = {
    Command.Kind.LIMITS.value: CommandHandler(
        action="limits.change", check=limits_check, run=limits_run, refer=limits_refer
    ),
}
