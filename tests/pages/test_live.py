"""The page of the real account, its API and its tools: what is missing, what is ours, what is asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal as D
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.models import Credential, LiveAccount, LiveFinding, LiveHolding, Portfolio
from core.clock import utc_now
from engine.models import Command

pytestmark = pytest.mark.django_db
SECRET = "sealed-text-of-the-key"


@pytest.fixture
def key(alice: Any) -> Credential:
    return Credential.objects.create(
        owner=alice, purpose="trade", venue="binance", sandbox=True, name="Practice", mask="abc…xyz",
        sealed=SECRET, account_id="77", permissions=["read", "trade"], checked_at=utc_now(),
    )  # fmt: skip


@pytest.fixture
def account(portfolio: Portfolio, key: Credential) -> LiveAccount:
    return LiveAccount.objects.create(
        portfolio=portfolio, credential=key, venue="binance", sandbox=True, policy="perp", quote="USDT",
        account_id="77", assigned=D(5000), shadow_since=utc_now() - timedelta(hours=6),
    )  # fmt: skip


def url(portfolio: Portfolio, kind: str = "") -> str:
    if kind:
        return reverse("dashboard:live_ask", args=[portfolio.pk, kind])
    return reverse("dashboard:live", args=[portfolio.pk])


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def test_without_a_key_the_page_says_where_to_enter_one(page: Client, portfolio: Portfolio) -> None:
    """VIEW-4: an empty state says what to do."""
    shown = text(page.get(url(portfolio)))
    assert "You have no key that may trade." in shown
    assert reverse("dashboard:keys") in shown


def test_connecting_asks_for_a_command(page: Client, portfolio: Portfolio, key: Credential) -> None:
    """EXE-5: the wish is stored once, and nothing of the key's secret is on the page."""
    shown = text(page.get(url(portfolio)))
    assert "Practice: binance abc…xyz (sandbox)" in shown
    assert SECRET not in shown
    data = {"token": "7f6c1f5e-30a5-4b0e-9a0a-0d5a3f1f7e11", "credential_id": key.pk, "assigned": "500.50"}
    for _ in range(2):
        assert page.post(url(portfolio, "live_connect"), data).status_code == 302
    command = Command.objects.get()
    assert (command.kind, command.data) == ("live_connect", {"credential_id": key.pk, "assigned": "500.5"})


def test_somebody_elses_key_is_refused(page: Client, portfolio: Portfolio, key: Credential, bob: Any) -> None:
    """SEC-1: it is not among the choices, and not there for the command."""
    Credential.objects.update(owner=bob)
    data = {"token": "7f6c1f5e-30a5-4b0e-9a0a-0d5a3f1f7e11", "credential_id": key.pk, "assigned": "5"}
    assert page.post(url(portfolio, "live_connect"), data).status_code == 400
    assert not Command.objects.exists()


def test_a_shadow_shows_every_condition(page: Client, portfolio: Portfolio, account: LiveAccount) -> None:
    """BEY-8: each with what to do, the badge says what it is, the name has to be typed."""
    shown = text(page.get(url(portfolio)))
    assert "Shadow (sandbox)" in shown
    assert "Whoever runs it sets LIVE_TRADING=true." in shown
    assert "Set up a second factor" in shown
    assert "It ran in shadow for 6.0 of 24.0 h." in shown
    data = {"token": "7f6c1f5e-30a5-4b0e-9a0a-0d5a3f1f7e11", "confirm": "Something", "shortened": ""}
    response = page.post(url(portfolio, "live_promote"), data)
    assert response.status_code == 400
    assert "Type the portfolio&#x27;s name to confirm" in response.content.decode()
    assert not Command.objects.exists()
    assert page.post(url(portfolio, "live_everything"), data).status_code == 404


def test_a_live_one_shows_what_is_not_ours(page: Client, portfolio: Portfolio, account: LiveAccount) -> None:
    """SPEC, money: there, ours, not ours; a finding with the ways to settle it; the ramp."""
    live_make(portfolio, account)
    shown = text(page.get(url(portfolio)))
    assert "Live (sandbox)" in shown
    for number in ("0.35", "0.05", "0.3"):
        assert f">{number}</td>" in shown
    assert "It is gone: book it out at the present price" in shown
    assert "at most 2 now" in shown
    finding = LiveFinding.objects.get()
    data = {"token": "7f6c1f5e-30a5-4b0e-9a0a-0d5a3f1f7e11", "finding_id": finding.pk, "way": "gone"}
    assert page.post(url(portfolio, "live_settle"), data).status_code == 302
    assert Command.objects.get().data == {"finding_id": finding.pk, "way": "gone"}


def live_make(portfolio: Portfolio, account: LiveAccount) -> None:
    now = utc_now()
    Portfolio.objects.filter(pk=portfolio.pk).update(mode="live")
    LiveAccount.objects.filter(pk=account.pk).update(
        state="live", promoted_at=now, confirmed_at=now, ramped_at=now, looked_at=now
    )
    LiveHolding.objects.create(account=account, kind="perp", code="BTC", quantity=D("0.35"), ours=D("0.05"))
    LiveFinding.objects.create(
        account=account, kind="missing", code="ETH", books=D(1), seen=D(0), text="Our books hold 1 ETH.",
        confirmed_at=now,
    )  # fmt: skip


def test_the_api_and_the_tools_say_the_same(page: Client, portfolio: Portfolio, account: LiveAccount) -> None:
    """API-1, CLI-1: decimals as text, exit status 1 while a finding stands."""
    live_make(portfolio, account)
    data = page.get(f"/api/v1/portfolios/{portfolio.pk}/live/").json()
    assert (data["badge"], data["account"]["assigned"]) == ("Live (sandbox)", "5000")
    assert data["holdings"] == [
        {"kind": "perp", "code": "BTC", "quantity": "0.35", "ours": "0.05", "text": ""}
    ]
    assert data["findings"][0]["ways"] == ["gone"]
    assert SECRET not in json.dumps(data)
    told = StringIO()
    with pytest.raises(CommandError, match="Findings stand"):
        call_command("live_status", "--json", stdout=told)
    assert json.loads(told.getvalue()) == [{"portfolio": portfolio.pk, **data}]
    told = StringIO()
    with pytest.raises(CommandError):
        call_command("live_status", stdout=told)
    assert "Live (sandbox), binance" in told.getvalue()


def test_the_shadow_report(page: Client, portfolio: Portfolio, account: LiveAccount) -> None:
    """BEY-8: on the page, by the API and at the command line; without an account there is none."""
    told = StringIO()
    call_command("shadow_report", "--json", stdout=told)
    report = json.loads(told.getvalue())
    assert (report["orders"], report["fees"], report["worst_drawdown"]) == (0, "0", "0")
    assert page.get(f"/api/v1/portfolios/{portfolio.pk}/live/").json()["shadow"]["assigned"] == "5000"
    assert "What the shadow did" in text(page.get(url(portfolio)))
    LiveAccount.objects.update(state="stopped")
    with pytest.raises(CommandError, match="connected to no account"):
        call_command("shadow_report", stdout=told)


def test_an_outsider_sees_nothing(
    client_of: Any, charlie: Any, portfolio: Portfolio, account: LiveAccount
) -> None:
    """SEC-1: neither page, nor wish, nor API."""
    outsider = client_of(charlie)
    assert outsider.get(url(portfolio)).status_code == 404
    assert outsider.post(url(portfolio, "live_disconnect"), {}).status_code == 404
    assert outsider.get(f"/api/v1/portfolios/{portfolio.pk}/live/").status_code == 404
    account.refresh_from_db()
    assert account.state == "shadow"
