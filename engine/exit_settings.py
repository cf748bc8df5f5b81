"""Changing what closes positions by itself: kept, noted with what it means, and told to the pages (EXT-2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.models import Portfolio
from core.decimals import plain
from core.errors import InputError
from engine.decisions import DecisionNote, decision_store, world_time
from engine.models import ExitTrigger
from engine.publishing import portfolio_changed
from positions.exit_settings import (
    GuardEdit,
    GuardEdited,
    exit_defaults_set,
    guard_edit,
    guard_edit_check,
)
from positions.exits import defaults_of
from positions.models import ExitDefaults, ExitRules, PositionSlice

_NAMES = {
    "stop_loss_pct": "stop loss",
    "trail_from_pct": "trails from",
    "trail_by_pct": "trails by",
    "time_stop_days": "time stop",
    "take_profit": "take profit",
}


def exits_check(*, portfolio: Portfolio, edit: GuardEdit) -> None:
    """See that an edit would be accepted as things stand; whether a time stop is over shows when it is made.

    :raises NotFound: the portfolio has no such position
    :raises InputError: see ``exits_change``
    """
    _refuse_closing(edit)
    guard_edit_check(portfolio=portfolio, edit=edit)


@transaction.atomic
def exits_change(*, portfolio: Portfolio, edit: GuardEdit, now: datetime) -> GuardEdited:
    """Change what guards one position; see ``positions.exit_settings.guard_edit``.

    :raises NotFound: the portfolio has no such position
    :raises InputError: a rule is closing the position already, or the edit is refused; names the field
    """
    _refuse_closing(edit)
    world_at, _ = world_time(world_name=portfolio.world, now=now)
    edited = guard_edit(portfolio=portfolio, edit=edit, now=now, world_at=world_at)
    if edited.changed:
        note = DecisionNote(
            kind="settings",
            underlying=edited.underlying,
            text=f"Exits of {edited.underlying} changed",
            reason=_said(edited),
            follow_ids=_follow_ids(edit.position_id),
        )
        decision_store(portfolio=portfolio, note=note, now=now)
        portfolio_changed(portfolio_id=portfolio.pk)
    return edited


def _refuse_closing(edit: GuardEdit) -> None:
    """See that no rule is closing all of a position, so that its exits can still be changed.

    A take profit waits for its price, and the stop goes on guarding meanwhile: that can be changed.
    """
    closing = ExitTrigger.objects.filter(
        position_id=edit.position_id, status__in=ExitTrigger.STANDING, fraction=1
    ).first()
    steps_too = edit.use_defaults or "take_profit" in edit.rules
    if closing is not None and (steps_too or closing.kind != ExitTrigger.Kind.TAKE_PROFIT):
        raise InputError(
            f"Its {closing.get_kind_display().lower()} at {plain(closing.price)} is closing it already.",
            field="position_id",
        )


@transaction.atomic
def exit_defaults_change(
    *,
    portfolio: Portfolio,
    rules: Mapping[str, Any],
    stops_at_venue: bool | None = None,
    now: datetime,
) -> list[str]:
    """Change what guards a portfolio's new positions; return what is daring about it.

    :raises InputError: see ``positions.exit_settings.exit_defaults_set``
    """
    before = defaults_of(portfolio_id=portfolio.pk)
    warnings = exit_defaults_set(portfolio=portfolio, rules=rules, stops_at_venue=stops_at_venue, now=now)
    after = defaults_of(portfolio_id=portfolio.pk)
    moved = [
        f"{name} {_shown(column, getattr(after, column))}"
        for column, name in _NAMES.items()
        if getattr(after, column) != getattr(before, column)
    ]
    if after.stops_at_venue != before.stops_at_venue:
        moved.append(stops_said(after))
    if moved:
        note = DecisionNote(kind="settings", text="Exits of new positions changed", reason="; ".join(moved))
        decision_store(portfolio=portfolio, note=note, now=now)
        portfolio_changed(portfolio_id=portfolio.pk)
    return warnings


def rules_said(rules: ExitRules) -> str:
    """Say written rules in words: "stop loss 8 %; trails from 12 %; trails by 5 %; …"."""
    return "; ".join(f"{name} {_shown(column, getattr(rules, column))}" for column, name in _NAMES.items())


def stops_said(rules: ExitDefaults) -> str:
    """Say where stops are held."""
    return "stops rest at the venue too" if rules.stops_at_venue else "stops are held here alone"


def _said(edited: GuardEdited) -> str:
    guard = edited.guard
    stop = "no stop" if guard.stop_price is None else f"stop at {plain(guard.stop_price)}"
    whose = rules_said(guard) if guard.own else f"the portfolio's defaults: {rules_said(guard)}"
    return f"{stop}; {whose}"


def _shown(column: str, value: Any) -> str:
    if column == "take_profit":
        return ", ".join(_step(step) for step in value) or "off"
    unit = "d" if column == "time_stop_days" else "%"
    return f"{plain(value)} {unit}" if value else "off"


def _step(step: Mapping[str, str]) -> str:
    at = f"at {step['price']}" if "price" in step else f"at {step['gain_pct']} %"
    return f"{step['fraction_pct']} % {at}"


def _follow_ids(position_id: int) -> list[int]:
    parts = PositionSlice.objects.filter(position_id=position_id, follow__isnull=False).exclude(quantity=0)
    return [follow_id for follow_id in parts.values_list("follow_id", flat=True) if follow_id is not None]
