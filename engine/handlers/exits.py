"""Commands that change what closes positions by itself (EXT-2, VIEW-3)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from accounts.models import Portfolio
from core.decimals import ZERO, plain
from core.errors import InputError, NotFound
from engine.domain.command_data import decimal_read, fields_known, flag_read, id_read, shown
from engine.exit_settings import exit_defaults_change, exits_change, exits_check, rules_said, stops_said
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command
from engine.view_exits import exits_record, rules_record
from positions.domain.exit_checks import STEPS_MAX
from positions.exit_settings import GuardEdit, GuardEdited, exit_defaults_check, rules_of
from positions.exits import RULE_FIELDS, defaults_of
from positions.models import Position

_PLACES: Final = {"time_stop_days": 6}  # the others have 4
_ZERO: Final = re.compile(r"\s*0+(\.0*)?\s*", re.ASCII)
_STEP: Final = frozenset({"gain_pct", "price", "fraction_pct"})


# ---------------------------------------------------------------- one position
def exits_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the position's number, and a stop price, rules, or the wish for the portfolio's defaults."""
    fields_known(data, "position_id", "stop_price", "use_defaults", *RULE_FIELDS)
    clean: dict[str, Any] = {"position_id": id_read(data, "position_id"), **_rules_check(data)}
    if "stop_price" in data:
        clean["stop_price"] = plain(decimal_read(data, "stop_price"))
    if flag_read(data, "use_defaults"):
        clean["use_defaults"] = True
    if len(clean) == 1:
        raise InputError("Name a stop price, a rule to change, or use_defaults.")
    if "use_defaults" in clean and len(clean) > 2:
        raise InputError("The defaults replace every rule; name nothing beside them.", field="use_defaults")
    if "stop_price" in clean and "stop_loss_pct" in clean:
        raise InputError("Name the stop by its price or by its percentage, not both.", field="stop_price")
    return clean


def exits_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse at once a position that is not this portfolio's or is closed, and what would be refused now."""
    position = Position.objects.filter(portfolio=portfolio, pk=data["position_id"]).first()
    if position is None:
        raise NotFound(f"This portfolio has no position {data['position_id']}.", field="position_id")
    if position.status == Position.Status.CLOSED:
        raise InputError(f"The position in {position.underlying} is closed already.", field="position_id")
    exits_check(portfolio=portfolio, edit=_edit(data))


def exits_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Change them; what stands only tightens, and the answer says where that left something as it was."""
    edited = exits_change(portfolio=portfolio, edit=_edit(command.data), now=now)
    return CommandAnswer(
        done=True,
        text=_told(edited),
        result={
            "position_id": command.data["position_id"],
            "exits": exits_record(guard=edited.guard, trigger=None),
            "notes": list(edited.notes),
            "warnings": list(edited.warnings),
        },
    )


def _edit(data: Mapping[str, Any]) -> GuardEdit:
    return GuardEdit(
        position_id=data["position_id"],
        rules=rules_of(data),
        stop_price=Decimal(data["stop_price"]) if "stop_price" in data else None,
        use_defaults=data.get("use_defaults", False),
    )


def _told(edited: GuardEdited) -> str:
    if not edited.changed:
        return f"{edited.underlying}: its exits stand as you asked."
    guard = edited.guard
    stop = "no stop" if guard.stop_price is None else f"stop at {plain(guard.stop_price)}"
    return " ".join([f"Exits of {edited.underlying} changed: {stop}.", *edited.notes, *edited.warnings])


# ---------------------------------------------------------------- new positions
def exit_defaults_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take at least one rule, or whether stops rest at the venue too."""
    fields_known(data, *RULE_FIELDS, "stops_at_venue")
    clean = _rules_check(data)
    if "stops_at_venue" in data:
        clean["stops_at_venue"] = flag_read(data, "stops_at_venue")
    if not clean:
        raise InputError(f"Name at least one rule: {', '.join(RULE_FIELDS)}, stops_at_venue.")
    return clean


def exit_defaults_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse at once what makes no sense beside the rules that stay."""
    exit_defaults_check(portfolio=portfolio, rules=rules_of(data))


def exit_defaults_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Change them; positions that are open keep theirs."""
    warnings = exit_defaults_change(
        portfolio=portfolio,
        rules=rules_of(command.data),
        stops_at_venue=command.data.get("stops_at_venue"),
        now=now,
    )
    rules = defaults_of(portfolio_id=portfolio.pk)
    text = f"New positions are guarded so: {rules_said(rules)}; {stops_said(rules)}. Open ones keep theirs."
    return CommandAnswer(
        done=True,
        text=" ".join([text, *warnings]),
        result={
            "rules": rules_record(rules),
            "stops_at_venue": rules.stops_at_venue,
            "warnings": warnings,
        },
    )


# ---------------------------------------------------------------- reading rules
def _rules_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules that are given, decimals as strings; "0" switches a rule off."""
    clean: dict[str, Any] = {}
    for name in RULE_FIELDS:
        if name not in data:
            continue
        if name == "take_profit":
            clean[name] = _steps_read(data[name])
        else:
            clean[name] = _number_read(data, name, places=_PLACES.get(name, 4))
    return clean


def _number_read(data: Mapping[str, Any], name: str, *, places: int) -> str:
    if _ZERO.fullmatch(str(data[name])) and not isinstance(data[name], (bool, float)):
        return "0"
    return plain(decimal_read(data, name, most=Decimal(3650), places=places))


def _steps_read(value: object) -> list[dict[str, str]]:
    """Return the steps of take profit, each a gain or a price, and how much it closes."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > STEPS_MAX:
        raise InputError(
            f"Write a list of at most {STEPS_MAX} steps, an empty one for none; got {shown(value)}.",
            field="take_profit",
        )
    return [_step_read(row) for row in value]


def _step_read(row: object) -> dict[str, str]:
    if not isinstance(row, Mapping) or set(row) - _STEP or len(row) != 2 or "fraction_pct" not in row:
        raise InputError(
            "A step has fraction_pct, and either gain_pct or price, as text: "
            '{"gain_pct": "10", "fraction_pct": "50"}.',
            field="take_profit",
        )
    places = {"price": 12}
    try:
        return {name: plain(decimal_read(row, name, above=ZERO, places=places.get(name, 4))) for name in row}
    except InputError as error:
        raise InputError(f"{error.field}: {error.message}", field="take_profit") from None


HANDLERS: Final = {
    Command.Kind.EXITS.value: CommandHandler(
        action="position.exits", check=exits_data, refer=exits_refer, run=exits_run
    ),
    Command.Kind.EXIT_DEFAULTS.value: CommandHandler(
        action="portfolio.exit_defaults",
        check=exit_defaults_data,
        refer=exit_defaults_refer,
        run=exit_defaults_run,
    ),
}
