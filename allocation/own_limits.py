"""The limits a portfolio keeps: its profile's, or its owner's own (RSK-1).

Change them through ``engine.limits``, which also replaces every target; here they are only kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from django.conf import settings
from django.db import transaction

from accounts.models import OWN_PROFILE, PROFILE_CHOICES, Portfolio
from allocation.breakers import thresholds_of
from allocation.capital import capital_version_raise
from allocation.domain.limits import PROFILES, Limits
from allocation.domain.own_limits import FIELDS, LIMIT_FIELDS, Value, own_problems, own_warnings
from allocation.models import PortfolioLimits
from core.errors import InputError


def profile_limits(*, name: str) -> Limits:
    """Return what a named profile allows. The conservative one's numbers are the server's settings."""
    if name != "conservative":
        return PROFILES[name]
    part = settings.MAX_POSITION_SIZE_PCT / 100
    return Limits(
        max_position=part,
        max_positions=settings.MAX_POSITIONS,
        max_correlated=settings.MAX_CORRELATED_PCT / 100,
        max_gross=settings.MAX_GROSS_PCT / 100,
        max_asset_weight=part,
        max_open_orders=settings.MAX_OPEN_ORDERS,
    )


def limits_of(*, portfolio: Portfolio) -> Limits:
    """Return the limits that hold for a portfolio; without numbers of its own, the conservative ones."""
    if portfolio.risk_profile != OWN_PROFILE:
        return profile_limits(name=portfolio.risk_profile)
    own = PortfolioLimits.objects.filter(pk=portfolio.pk).values(*LIMIT_FIELDS).first()
    return Limits(**own) if own else profile_limits(name="conservative")


def limits_values(*, portfolio: Portfolio) -> dict[str, Value]:
    """Return every number that counts for a portfolio now, limits and breakers, as a form shows them."""
    values = {**asdict(limits_of(portfolio=portfolio)), **asdict(thresholds_of(portfolio=portfolio))}
    return {name: values[name] for name in FIELDS}


def limits_complete(*, portfolio: Portfolio, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return all numbers, the given ones in place of those that count now.

    :raises InputError: a name that is not known, or a value that makes no sense, with the field at fault
    """
    unknown = sorted(set(values) - set(FIELDS))
    if unknown:
        raise InputError(
            f"There is no limit “{unknown[0]}”; there are {', '.join(FIELDS)}.", field=unknown[0]
        )
    whole = {name: {**limits_values(portfolio=portfolio), **values}[name] for name in FIELDS}
    for field, text in own_problems(values=whole).items():
        raise InputError(text, field=field)
    return whole


def limits_warnings(values: Mapping[str, Value]) -> list[str]:
    """Return what to tell a person beside numbers that are allowed and risky; every number must be given."""
    return own_warnings(values=values)


@transaction.atomic
def limits_save(*, portfolio: Portfolio, values: Mapping[str, Value], now: datetime) -> list[str]:
    """Keep numbers of the owner's own; return what is risky about them.

    Numbers that are not given stay as they are now. Where a limit is given the profile becomes "own";
    thresholds of breakers count under every profile. The version rises, so no cycle acts on the old numbers.

    :raises InputError: see ``limits_complete``
    """
    capital_version_raise(portfolio_id=portfolio.pk)
    whole = limits_complete(portfolio=portfolio, values=values)
    PortfolioLimits.objects.update_or_create(portfolio=portfolio, defaults={**whole, "updated_at": now})
    if set(values) & set(LIMIT_FIELDS):
        portfolio_profile_set(portfolio=portfolio, profile=OWN_PROFILE)
    return limits_warnings(whole)


def portfolio_profile_set(*, portfolio: Portfolio, profile: str) -> None:
    """Let a portfolio keep to a named profile, or to its own numbers: those kept, else those that count now.

    :raises InputError: no such profile
    """
    names = [name for name, _ in PROFILE_CHOICES]
    if profile not in names:
        raise InputError(f"“{profile}” is no risk profile; choose {', '.join(names)}.", field="profile")
    with transaction.atomic():
        capital_version_raise(portfolio_id=portfolio.pk)
        if profile == OWN_PROFILE:
            numbers = limits_values(portfolio=portfolio)
            PortfolioLimits.objects.get_or_create(portfolio=portfolio, defaults=numbers)
        portfolio.risk_profile = profile
        portfolio.save(update_fields=["risk_profile"])
