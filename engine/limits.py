"""Changing a portfolio's limits: kept, decided on anew at once, and noted with what it means."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from accounts.models import OWN_PROFILE, Portfolio
from allocation.domain.limits import Limits
from allocation.domain.own_limits import LIMIT_FIELDS, Value
from allocation.own_limits import (
    limits_of,
    limits_save,
    limits_values,
    limits_warnings,
    portfolio_profile_set,
)
from core.decimals import plain
from core.errors import InputError
from engine.decisions import DecisionNote, decision_store
from engine.publishing import portfolio_changed
from engine.wake import cycles_wake


@transaction.atomic
def limits_change(
    *, portfolio: Portfolio, profile: str = "", values: Mapping[str, Value] | None = None, now: datetime
) -> list[str]:
    """Give a portfolio a named profile, numbers of its own, or both; return what is risky about it.

    Every target is placed anew. Nothing that is held is sold for a limit.

    :param profile: empty: "own" where a limit is among the values, else as it is
    :param values: by field, see ``allocation.own_limits.limits_save``
    :raises InputError: nothing to change, an unknown profile or field, or a value that makes no sense
    """
    values = values or {}
    if not profile and not values:
        raise InputError("Name a profile, or at least one number to change.")
    if profile and profile != OWN_PROFILE and set(values) & set(LIMIT_FIELDS):
        raise InputError(
            f"The profile “{profile}” has its own limits; choose “own” to set them.", field="profile"
        )
    before = limits_of(portfolio=portfolio)
    if profile:
        portfolio_profile_set(portfolio=portfolio, profile=profile)
    if values:
        limits_save(portfolio=portfolio, values=values, now=now)
    after = limits_of(portfolio=portfolio)
    note = DecisionNote(kind="settings", text="Limits changed", reason=_changes(portfolio, before, after))
    decision_store(portfolio=portfolio, note=note, now=now)
    cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="limits changed", force_all=True)
    portfolio_changed(portfolio_id=portfolio.pk)
    return limits_warnings(limits_values(portfolio=portfolio))


def _changes(portfolio: Portfolio, before: Limits, after: Limits) -> str:
    """Say which profile holds now and which limits moved, from what to what."""
    moved = [
        f"{name.removeprefix('max_').replace('_', ' ')} {_shown(old)} → {_shown(new)}"
        for name in LIMIT_FIELDS
        if (old := getattr(before, name)) != (new := getattr(after, name))
    ]
    return f"Profile {portfolio.get_risk_profile_display().lower()}: {'; '.join(moved) or 'the same limits'}"


def _shown(value: Value) -> str:
    return str(value) if isinstance(value, int) else f"{plain(value * 100)} %"
