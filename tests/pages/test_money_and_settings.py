"""Paper cash and settings on the pages: what is refused says why, what is pressed twice happens once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio
from allocation.models import BlockedUnderlying, CapitalAccount, LedgerEntry
from allocation.own_limits import limits_of
from core.clock import utc_now
from engine.commands import command_run
from engine.models import Command
from positions.models import ConflictOverride


def press(page: Client, portfolio: Portfolio, form: str, /, **body: str) -> Any:
    """Send a form of the portfolio."""
    return page.post(reverse(f"dashboard:{form}", args=[portfolio.pk]), {"token": str(uuid4()), **body})


def test_deposit_pressed_twice_is_booked_once(page: Client, portfolio: Portfolio) -> None:
    """ALL-5: the form's token makes a double press harmless."""
    token = str(uuid4())
    for _ in range(2):
        answer = press(page, portfolio, "cash_deposit", amount="250.50", token=token)
        assert answer.url == f"/portfolios/{portfolio.pk}/money/"
    assert CapitalAccount.objects.get().free == Decimal("10250.50")
    assert LedgerEntry.objects.count() == 2
    assert "Deposited $250.50." in page.get(answer.url).content.decode()


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("", "This field is required"),
        ("0", "greater than or equal to 0.01"),
        ("-5", "greater than or equal to 0.01"),
        ("abc", "Enter an amount such as"),
        ("NaN", "Enter an amount such as"),
        ("1.234", "no more than 2 decimal places"),
        ("99999999999", "less than or equal to"),
    ],
)
def test_odd_amounts_are_refused_beside_the_field(
    page: Client, portfolio: Portfolio, amount: str, words: str
) -> None:
    """ALL-5: nothing is booked."""
    answer = press(page, portfolio, "cash_deposit", amount=amount)
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert CapitalAccount.objects.get().free == 10000


def test_withdrawing_more_than_is_free_says_how_much_is(page: Client, portfolio: Portfolio) -> None:
    """ALL-5: free capital is the limit; the refused form can be sent again under a new token."""
    token = str(uuid4())
    refused = press(page, portfolio, "cash_withdraw", amount="10000.01", token=token)
    assert refused.status_code == 400
    assert "withdraw_amount_error" in refused.content.decode()
    assert token not in refused.content.decode()
    assert press(page, portfolio, "cash_withdraw", amount="4000").status_code == 302
    assert CapitalAccount.objects.get().free == 6000


def test_reset_wants_the_phrase(page: Client, portfolio: Portfolio) -> None:
    """The guarded action does nothing by accident."""
    press(page, portfolio, "cash_deposit", amount="500")
    assert press(page, portfolio, "cash_reset", amount="2000").status_code == 400
    assert CapitalAccount.objects.get().free == 10500
    assert press(page, portfolio, "cash_reset", amount="2000", phrase="reset").status_code == 302
    assert CapitalAccount.objects.get().free == 2000


def test_settings_are_saved_and_refused_by_name(page: Client, portfolio: Portfolio) -> None:
    """CON-2: policy, rule; a name that is taken is refused beside the name; limits have their own form."""
    body = {
        "name": "Renamed",
        "policy": "spot",
        "conflict_rule": "largest",
        "auto_rebalance": "on",
    }
    assert press(page, portfolio, "settings", **body).status_code == 302
    portfolio.refresh_from_db()
    assert (portfolio.name, portfolio.policy, portfolio.risk_profile) == ("Renamed", "spot", "balanced")
    assert (portfolio.conflict_rule, portfolio.auto_rebalance) == ("largest", True)
    new = {**body, "name": "renamed", "risk_profile": "balanced"}
    del new["auto_rebalance"]
    taken = page.post(reverse("dashboard:portfolio_new"), {**new, "token": str(uuid4())})
    assert taken.status_code == 400
    assert "You have a portfolio called" in taken.content.decode()
    assert press(page, portfolio, "settings", **{**body, "policy": "margin"}).status_code == 400
    portfolio.refresh_from_db()
    assert portfolio.policy == "spot"


def test_rules_per_instrument_and_the_block_list(page: Client, portfolio: Portfolio) -> None:
    """CON-2: one rule per instrument; removing either twice is harmless."""
    press(page, portfolio, "override_set", underlying=" btc ", rule="first")
    press(page, portfolio, "override_set", underlying="SOL", rule="largest")
    press(page, portfolio, "override_set", underlying="BTC", rule="combine")
    assert dict(ConflictOverride.objects.values_list("underlying", "rule")) == {
        "BTC": "combine",
        "SOL": "largest",
    }
    for _ in range(2):
        press(page, portfolio, "override_remove", underlying="SOL")
    press(page, portfolio, "block_add", underlying="doge")
    press(page, portfolio, "block_add", underlying="xyz:TSLA")
    assert [entry.underlying for entry in BlockedUnderlying.objects.all()] == ["DOGE", "xyz:TSLA"]
    text = page.get(reverse("dashboard:settings", args=[portfolio.pk])).content.decode()
    assert "Allow xyz:TSLA again" in text
    for _ in range(2):
        press(page, portfolio, "block_remove", underlying="DOGE")
    assert [entry.underlying for entry in BlockedUnderlying.objects.all()] == ["xyz:TSLA"]
    assert list(ConflictOverride.objects.values_list("underlying", flat=True)) == ["BTC"]
    refused = press(page, portfolio, "block_add", underlying="no such <thing>")
    assert refused.status_code == 400
    assert "block_underlying_error" in refused.content.decode()


def test_opening_a_portfolio_twice_by_one_form_opens_one(page: Client) -> None:
    """VIEW-4: pressing Create twice leads to the same portfolio."""
    body = {
        "token": str(uuid4()),
        "name": "First",
        "policy": "perp",
        "risk_profile": "balanced",
        "conflict_rule": "combine",
    }
    first = page.post(reverse("dashboard:portfolio_new"), body)
    second = page.post(reverse("dashboard:portfolio_new"), body)
    assert first.url == second.url
    assert Portfolio.objects.count() == 1
    assert CapitalAccount.objects.get().free == 10000


OWN = {
    "profile": "own",
    "max_position": "10",
    "max_asset_weight": "10",
    "max_positions": "5",
    "max_correlated": "30",
    "max_gross": "50",
    "max_open_orders": "8",
    "daily_loss": "4",
    "drawdown": "15.5",
    "losses_in_a_row": "4",
    "emergency_loss": "9",
    "copy_stop": "20",
}


def test_own_limits_are_asked_for_by_command(page: Client, portfolio: Portfolio) -> None:
    """RSK-1: percent becomes fractions; pressed twice it is one command; the settings name the profile."""
    token = str(uuid4())
    for _ in range(2):
        answer = press(page, portfolio, "limits_save", **OWN, token=token)
        assert answer.url == f"/portfolios/{portfolio.pk}/risk/"
    command = Command.objects.get()
    assert command.data["max_position"] == "0.1"
    assert command.data["drawdown"] == "0.155"
    assert (command.data["max_positions"], command.data["profile"]) == ("5", "own")
    assert command_run(command_id=command.pk, now=utc_now()) == "done"
    portfolio.refresh_from_db()
    assert limits_of(portfolio=portfolio).max_position == Decimal("0.1")
    shown = page.get(reverse("dashboard:settings", args=[portfolio.pk])).content.decode()
    assert 'name="drawdown" value="15.5"' in shown
    assert (
        press(page, portfolio, "settings", name="Arena", policy="perp", conflict_rule="first").status_code
        == 302
    )
    portfolio.refresh_from_db()
    assert portfolio.risk_profile == "own"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_position": "0"}, "above 0 %"),
        ({"max_position": "300"}, "at most 200 %"),
        ({"max_positions": "2.5"}, "no more than 0 decimal places"),
        ({"emergency_loss": "3"}, "before entries stop at 4 %"),
        ({"max_gross": "x"}, "Enter a number"),
        ({"profile": "reckless"}, "Select a valid choice"),
    ],
)
def test_senseless_limits_are_refused_beside_their_field(
    page: Client, portfolio: Portfolio, change: dict[str, str], words: str
) -> None:
    """RSK-1: nothing is asked for."""
    answer = press(page, portfolio, "limits_save", **{**OWN, **change})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not Command.objects.exists()


def test_daring_limits_are_warned_about_and_asked_again(page: Client, portfolio: Portfolio) -> None:
    """RSK-1: a risky value is said with what it may cost, and set only once that was read."""
    daring = {**OWN, "drawdown": "60"}
    asked = press(page, portfolio, "limits_save", **daring)
    assert asked.status_code == 400
    text = asked.content.decode()
    assert "equity must grow by 150 % to be back" in text
    assert "Read the warnings and tick the box" in text
    assert not Command.objects.exists()
    assert press(page, portfolio, "limits_save", **daring, daring="on").status_code == 302
    assert Command.objects.count() == 1


def test_a_named_profile_brings_its_own_limits(page: Client, portfolio: Portfolio) -> None:
    """RSK-1: what is typed for limits is left aside, the breakers count under every profile."""
    press(page, portfolio, "limits_save", **{**OWN, "profile": "aggressive", "max_position": "1"})
    command = Command.objects.get()
    assert "max_position" not in command.data
    assert command_run(command_id=command.pk, now=utc_now()) == "done"
    portfolio.refresh_from_db()
    assert portfolio.risk_profile == "aggressive"
    assert limits_of(portfolio=portfolio).max_position == Decimal("0.5")
