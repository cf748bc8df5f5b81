"""Who may open and press what: every page and every form, tried by its owner, an outsider and nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from accounts.models import Portfolio
from allocation.models import CapitalAccount, Follow
from core.clock import utc_now
from dashboard.urls import urlpatterns
from engine.follows import follow_start
from execution.models import Order
from markets.models import Instrument
from positions.models import ConflictRecord, Position

PAGES = [
    "portfolio",
    "portfolio_equity",
    "position",
    "position_candles",
    "traders",
    "trader_add",
    "follow_signals",
    "trader",
    "conflicts",
    "conflict",
    "orders",
    "order",
    "closed",
    "ledger",
    "data",
    "risk",
    "money",
    "live",
    "settings",
]
POSTS = [
    "follow_remove",
    "follow_move",
    "follow_style",
    "demo_follow",
    "weights_save",
    "trader_add",
    "cash_deposit",
    "cash_withdraw",
    "cash_reset",
    "live_ask",
    "settings",
    "limits_save",
    "exit_defaults_save",
    "override_set",
    "override_remove",
    "block_add",
    "block_remove",
]
# Of a person, not of a portfolio: tried in tests/keys/test_doors.py, test_agents.py and tests/people.
ELSEWHERE = [
    "imports",
    "import",
    "account",
    "account_export",
    "account_delete",
    "session_end",
    "keys",
    "key_rename",
    "key_revoke",
    "agents",
    "agent_edit",
    "agent_secret",
    "agent_remove",
]


@pytest.fixture
def follow(portfolio: Portfolio) -> Follow:
    """Alice follows Grok 4."""
    return follow_start(portfolio=portfolio, kind="replay", key="grok-4", now=utc_now())


def _address(name: str, portfolio: Portfolio, follow: Follow) -> str:
    numbers: list[object] = [portfolio.pk]
    if name.startswith("follow_") or name == "trader":
        numbers.append(follow.pk)
    elif name == "order":
        numbers.append(_order(portfolio).pk)
    elif name.startswith("position"):
        numbers.append(_position(portfolio).pk)
    elif name == "live_ask":
        numbers.append("live_disconnect")
    elif name == "conflict":
        numbers.append(_conflict(portfolio).underlying)
    return reverse(f"dashboard:{name}", args=numbers)


def _order(portfolio: Portfolio) -> Order:
    """An order of Alice's, made once."""
    known = Order.objects.filter(portfolio=portfolio).first()
    return known or Order.objects.create(
        portfolio=portfolio,
        instrument=Instrument.objects.get_or_create(code="BTC", defaults={"underlying": "BTC"})[0],
        underlying="BTC",
        policy="perp",
        client_order_id="access-1",
        venue="paper",
        side="BUY",
        quantity=1,
        limit_price=1,
        purpose="entry",
        decision_mark=1,
        expires_at=utc_now(),
    )


def _position(portfolio: Portfolio) -> Position:
    """A position of Alice's, made once."""
    known = Position.objects.filter(portfolio=portfolio).first()
    return known or Position.objects.create(
        portfolio=portfolio,
        instrument=Instrument.objects.get_or_create(code="BTC", defaults={"underlying": "BTC"})[0],
        underlying="BTC",
        policy="perp",
        opened_world_at=utc_now(),
    )


def _conflict(portfolio: Portfolio) -> ConflictRecord:
    """A conflict of Alice's, made once."""
    known = ConflictRecord.objects.filter(portfolio=portfolio).first()
    return known or ConflictRecord.objects.create(
        portfolio=portfolio,
        underlying="BTC",
        kind="overlap",
        rule="combine",
        holders=[],
        before_quantity=0,
        after_quantity=1,
        after_notional=1,
        mark_price=1,
        fingerprint="access",
        world_at=utc_now(),
    )


def test_every_address_is_tried_here() -> None:
    """SEC-1: a page that is added must be added to these tests."""
    names = {pattern.name for pattern in urlpatterns}
    assert names == {*PAGES, *POSTS, *ELSEWHERE, "home", "portfolio_new"}
    assert get_resolver().namespace_dict["dashboard"]


@pytest.mark.parametrize("name", PAGES)
def test_pages_open_for_their_owner_alone(
    name: str,
    page: Client,
    charlie: Any,
    client_of: Callable[[Any], Client],
    portfolio: Portfolio,
    follow: Follow,
) -> None:
    """SEC-1: Charlie is told the same as for a portfolio that does not exist; nobody is asked to sign in."""
    address = _address(name, portfolio, follow)
    assert page.get(address).status_code == 200
    refused = client_of(charlie).get(address)
    missing = client_of(charlie).get(address.replace(f"/{portfolio.pk}/", "/999999999/", 1))
    assert refused.status_code == missing.status_code == 404
    assert refused.content == missing.content
    assert "Arena" not in refused.content.decode()
    nobody = Client().get(address)
    assert (nobody.status_code, nobody.url.split("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("name", POSTS)
def test_forms_work_for_their_owner_alone(
    name: str, charlie: Any, client_of: Callable[[Any], Client], portfolio: Portfolio, follow: Follow
) -> None:
    """SEC-1: nothing of Alice's moves when Charlie, or nobody, presses her buttons."""
    address = _address(name, portfolio, follow)
    body = {"positions": "close", "direction": "up", "amount": "5", "underlying": "BTC", "rule": "first"}
    before = (
        list(Follow.objects.values()),
        list(CapitalAccount.objects.values()),
        list(Portfolio.objects.values()),
    )
    assert client_of(charlie).post(address, body).status_code == 404
    assert Client().post(address, body).status_code == 302
    after = (
        list(Follow.objects.values()),
        list(CapitalAccount.objects.values()),
        list(Portfolio.objects.values()),
    )
    assert before == after


def test_forms_need_their_token_against_forgery(alice: Any, portfolio: Portfolio) -> None:
    """SEC-1: a form without its CSRF token is refused."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    answer = client.post(reverse("dashboard:cash_deposit", args=[portfolio.pk]), {"amount": "5"})
    assert answer.status_code == 403
    assert "Not allowed" in answer.content.decode()
    assert CapitalAccount.objects.get().free == 10000


def test_pages_follow_the_content_policy(page: Client, portfolio: Portfolio, follow: Follow) -> None:
    """SEC-1: no inline style, no inline script except data, no handler attribute on any page."""
    for name in (name for name in PAGES if name not in {"portfolio_equity", "position_candles"}):
        answer = page.get(_address(name, portfolio, follow))
        body = answer.content.decode()
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert ' style="' not in body
        assert " onclick" not in body
        assert "<script>" not in body


def test_home_leads_to_the_last_portfolio(page: Client, alice: Any, portfolio: Portfolio) -> None:
    """VIEW-4: a first run opens a portfolio; later runs begin where one was."""
    assert page.get("/").url == f"/portfolios/{portfolio.pk}/"
    fresh = Client()
    other = type(alice).objects.create_user(email="new@example.com", password="a long enough word")
    fresh.force_login(other, backend="django.contrib.auth.backends.ModelBackend")
    assert fresh.get("/").url == "/portfolios/new/"
