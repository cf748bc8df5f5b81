"""RSK-3: the doors to the emergency stop, API, admin and command line: each guarded, each audited."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, Portfolio, User
from allocation.models import BreakerTrip
from engine.models import Command
from tests.api.making import portfolio_make


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    return portfolio_make(owner=alice, name="Four models")


def url(portfolio: Portfolio) -> str:
    return f"/api/v1/portfolios/{portfolio.pk}/emergency-stop/"


def status(portfolio: Portfolio) -> str:
    portfolio.refresh_from_db()
    return portfolio.status


def test_the_api_freezes_at_once_after_the_typed_name(
    client_of: Callable[[User], Client], alice: User, charlie: User, portfolio: Portfolio
) -> None:
    """RSK-3, API-1: the owner alone, with the name; frozen when the answer comes; twice is harmless."""
    post = client_of(alice).post
    wrong = post(url(portfolio), {"confirm": "Five models"}, content_type="application/json")
    assert wrong.status_code == 400
    assert "Type the portfolio" in json.dumps(wrong.json())
    outsider = client_of(charlie).post(
        url(portfolio), {"confirm": portfolio.name}, content_type="application/json"
    )
    assert outsider.status_code == 404
    assert status(portfolio) == "active"
    for _ in range(2):
        answer = post(
            url(portfolio), {"confirm": portfolio.name, "reason": "the news"}, content_type="application/json"
        )
        assert (answer.status_code, answer.json()["kind"]) == (202, "emergency_stop")
    portfolio.refresh_from_db()
    assert portfolio.status_reason == "Stopped by alice@example.com: the news"
    assert BreakerTrip.objects.filter(portfolio=portfolio).count() == 1
    outcomes = AuditEntry.objects.filter(portfolio_id=portfolio.pk).order_by("id")
    assert list(outcomes.values_list("outcome", flat=True)) == ["refused", "accepted", "accepted"]


def test_a_stop_is_accepted_however_many_commands_are_open(
    client_of: Callable[[User], Client], alice: User, portfolio: Portfolio
) -> None:
    """RSK-3: works while workers are busy."""
    for number in range(50):
        Command.objects.create(
            id=f"00000000-0000-4000-8000-{number:012}", portfolio=portfolio, kind="mode", key=str(number),
            via="page", data={},
        )  # fmt: skip
    answer = client_of(alice).post(
        url(portfolio), {"confirm": portfolio.name}, content_type="application/json"
    )
    assert answer.status_code == 202
    assert status(portfolio) == "halted"


def test_the_admin_asks_once_more_and_is_for_administrators(
    client_of: Callable[[User], Client], alice: User, portfolio: Portfolio
) -> None:
    """RSK-3: a Django admin action with confirmation."""
    root = client_of(User.objects.create_superuser("root@example.com", "a long enough password"))
    page = reverse("admin:accounts_portfolio_changelist")
    chosen = {"action": "emergency_stop", "_selected_action": [portfolio.pk]}
    staff = User.objects.create_user("staff@example.com", "a long enough password", role="operator")
    client_of(staff).post(page, chosen | {"confirmed": "yes"})
    asked = root.post(page, chosen)
    assert b"Four models" in asked.content
    assert b"Stop them now" in asked.content
    assert status(portfolio) == "active"
    done = root.post(page, chosen | {"confirmed": "yes", "reason": "seen from above"}, follow=True)
    assert b"Frozen, being closed" in done.content
    portfolio.refresh_from_db()
    assert portfolio.status_reason == "Stopped by root@example.com: seen from above"
    assert AuditEntry.objects.get(portfolio_id=portfolio.pk).via == "admin"


@pytest.mark.django_db(transaction=True)
def test_the_command_line_stops_one_or_all_without_a_worker(alice: User, bob: User) -> None:
    """RSK-3, CLI-1: frozen, closed and seen through in this process; a drill sends nothing."""
    portfolios = [portfolio_make(owner=alice, name="One"), portfolio_make(owner=bob, name="Two")]
    with pytest.raises(CommandError, match="Name one portfolio, or say --all"):
        call_command("emergency_stop")
    with pytest.raises(CommandError, match="There is no portfolio"):
        call_command("emergency_stop", "999999")
    told = _called("--drill", str(portfolios[0].pk))
    assert "Nothing was sent" in told
    assert [status(portfolio) for portfolio in portfolios] == ["active", "active"]
    documents = json.loads(_called("--all", "--reason", "a test", "--json"))
    assert [document["status"] for document in documents] == ["done", "done"]
    assert documents[0]["answer"].endswith("Nothing is open.")
    portfolios[1].refresh_from_db()
    assert (portfolios[1].status, portfolios[1].status_reason) == ("halted", "Stopped by the system: a test")


def _called(*arguments: Any) -> str:
    out = StringIO()
    call_command("emergency_stop", *arguments, stdout=out)
    return out.getvalue()
