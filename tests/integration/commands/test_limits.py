"""RSK-1: limits and profiles changed by command, refused where they make no sense, kept for audit."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from accounts.models import AuditEntry, Portfolio
from allocation.breakers import thresholds_of
from allocation.domain.limits import PROFILES
from allocation.models import CapitalAccount, PortfolioLimits
from allocation.own_limits import limits_of, limits_save, limits_values, profile_limits
from core.errors import InputError
from core.types import Policy
from engine.gather import margin_rate_of
from engine.models import CycleState, Decision
from engine.portfolios import portfolio_settings_save
from tests.integration.commands.conftest import Floor

D = Decimal
pytestmark = pytest.mark.django_db


def test_the_profiles_are_the_limits_of_who_keeps_to_them(floor: Floor) -> None:
    """RSK-1: the conservative numbers come from the server's settings, asset weight with position size."""
    portfolio = floor.portfolio
    for name in sorted(PROFILES):
        Portfolio.objects.filter(pk=portfolio.pk).update(risk_profile=name)
        portfolio.refresh_from_db()
        assert limits_of(portfolio=portfolio) == PROFILES[name]
    with override_settings(MAX_POSITION_SIZE_PCT=D("2.5"), MAX_POSITIONS=4):
        mild = profile_limits(name="conservative")
        assert (mild.max_position, mild.max_asset_weight, mild.max_positions) == (D("0.025"), D("0.025"), 4)
        assert profile_limits(name="balanced") == PROFILES["balanced"]


def test_numbers_of_ones_own_hold_at_once(floor: Floor) -> None:
    """RSK-1: a number makes the profile "own", the rest stays; version, decision, wish and audit follow."""
    portfolio = floor.portfolio
    before = limits_of(portfolio=portfolio)
    version = CapitalAccount.objects.get(pk=portfolio.pk).version
    command = floor.carry_out(floor.ask("limits", max_position="0.4", losses_in_a_row=7))
    assert command.status == "done", command.answer
    warning = (
        "The largest position at 40 % is daring: one position that falls by a fifth costs 8 % of equity."
    )
    assert command.answer == f"Limits changed; every target is placed anew. {warning}"
    assert command.result["warnings"] == [warning]
    assert command.result["values"]["max_position"] == "0.4000"

    portfolio = Portfolio.objects.get(pk=portfolio.pk)
    assert portfolio.risk_profile == "own"
    assert limits_of(portfolio=portfolio) == type(before)(**{**asdict(before), "max_position": D("0.4")})
    assert thresholds_of(portfolio=portfolio).losses_in_a_row == 7
    assert CapitalAccount.objects.get(pk=portfolio.pk).version > version
    note = Decision.objects.get(portfolio=portfolio, text="Limits changed")
    assert note.reason == "Profile my own: position 25 % → 40 %"
    done = AuditEntry.objects.get(portfolio_id=portfolio.pk, action="limits.change", outcome="done")
    assert done.data["asked"] == {"max_position": "0.4", "losses_in_a_row": "7"}

    back = floor.carry_out(floor.ask("limits", profile="aggressive"))
    assert back.status == "done"
    portfolio = Portfolio.objects.get(pk=portfolio.pk)
    assert limits_of(portfolio=portfolio) == PROFILES["aggressive"]
    assert margin_rate_of(policy=Policy.PERP, limits=limits_of(portfolio=portfolio)) == D("0.5")
    assert thresholds_of(portfolio=portfolio).losses_in_a_row == 7  # breakers count under every profile
    own = floor.carry_out(floor.ask("limits", profile="own"))
    assert own.status == "done"
    assert limits_of(portfolio=Portfolio.objects.get(pk=portfolio.pk)).max_position == D("0.4")


def test_the_cycle_is_asked_to_place_everything_anew(floor: Floor) -> None:
    """RSK-1: all targets, not only those whose traders moved."""
    CycleState.objects.update(wanted_at=None, forced_all=False)
    floor.run(floor.ask("limits", max_positions=3))
    cycle = CycleState.objects.get(portfolio=floor.portfolio)
    assert (cycle.wanted_why, cycle.forced_all) == ("limits changed", True)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, ""),
        ({"profile": "wild"}, "profile"),
        ({"max_position": "0"}, "max_position"),
        ({"max_position": 0.1}, "max_position"),
        ({"max_position": "3"}, "max_position"),
        ({"max_positions": "2.5"}, "max_positions"),
        ({"max_position": "0.12345"}, "max_position"),
        ({"max_correlated": "0.01"}, "max_correlated"),
        ({"emergency_loss": "0.01"}, "emergency_loss"),
        ({"max_size": "0.1"}, "max_size"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(floor: Floor, data: dict[str, Any], field: str) -> None:
    """RSK-1: at the door, and nothing is kept but the refusal."""
    with pytest.raises(InputError) as refused:
        floor.ask("limits", **data)
    assert refused.value.field == field
    assert not PortfolioLimits.objects.exists()
    assert Portfolio.objects.get(pk=floor.portfolio.pk).risk_profile == "balanced"
    assert AuditEntry.objects.get(action="limits.change").outcome == "refused"


def test_a_named_profile_takes_no_limits_of_ones_own(floor: Floor) -> None:
    """RSK-1: both at once would be a lie; thresholds may go with any profile."""
    refused = floor.carry_out(floor.ask("limits", profile="conservative", max_position="0.1"))
    assert (refused.status, "has its own limits" in refused.answer) == ("refused", True)
    both = floor.carry_out(floor.ask("limits", profile="conservative", daily_loss="0.03"))
    assert both.status == "done"
    portfolio = Portfolio.objects.get(pk=floor.portfolio.pk)
    assert limits_of(portfolio=portfolio) == PROFILES["conservative"]
    assert thresholds_of(portfolio=portfolio).daily_loss == D("0.03")


def test_choosing_own_in_the_settings_begins_with_the_numbers_of_now(floor: Floor) -> None:
    """RSK-1: the same limits hold until a number is changed."""
    portfolio_settings_save(portfolio=floor.portfolio, now=floor.now, risk_profile="own")
    portfolio = Portfolio.objects.get(pk=floor.portfolio.pk)
    assert limits_of(portfolio=portfolio) == PROFILES["balanced"]
    warnings = limits_save(portfolio=portfolio, values={"max_positions": 100}, now=floor.now)
    assert warnings == ["The number of positions at 100 is daring: nobody can watch that many."]
    assert limits_values(portfolio=portfolio)["max_positions"] == 100
    with pytest.raises(InputError, match="There is no limit “max_size”"):
        limits_save(portfolio=portfolio, values={"max_size": 1}, now=floor.now)
