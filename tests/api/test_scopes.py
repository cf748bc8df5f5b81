"""API-1, SEC-1: what a token may do is what its scopes say, and it reaches what it is bound to."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.domain.scopes import Scope
from accounts.models import ApiToken, AuditEntry, Portfolio, User
from accounts.tokens import SIGN_INS_MOST
from api.base import ApiView
from api.urls import urlpatterns
from core.clock import utc_now
from engine.models import Command
from tests.api.conftest import LIST, post_json, problem, token_client, url_of
from tests.conftest import CAST_PASSWORD

TOKEN = "/api/v1/auth/token/"
STOP = {"confirm": "Four models"}


def _views() -> list[Any]:
    views = [getattr(pattern.callback, "view_class", None) for pattern in urlpatterns]
    return [view for view in views if view is not None]  # the page of the documentation is no endpoint


@pytest.mark.parametrize("view", _views(), ids=lambda view: view.__name__)
def test_every_view_is_an_api_view_with_a_chapter(view: type[ApiView]) -> None:
    """API-1: nothing is served past scopes, paces and problems; and everything has its chapter."""
    assert issubclass(view, ApiView)
    assert view.tag or view.__name__ == "NoSuchView"


@pytest.mark.parametrize(
    ("held", "method", "rest", "body", "missing"),
    [
        (Scope.TRADE, "get", "", None, "read"),
        (Scope.TRADE, "get", "orders/", None, "read"),
        (Scope.READ, "post", "emergency-stop/", STOP, "trade"),
        (Scope.SETTINGS, "post", "commands/", {"kind": "cancel", "data": {"order_id": 1}}, "trade"),
        (Scope.TRADE, "post", "commands/", {"kind": "mode", "data": {"dry_run": True}}, "settings"),
        (Scope.TRADE, "post", "commands/", {"kind": "live_disconnect", "data": {}}, "keys"),
        (Scope.READ, "post", "follows/", {"kind": "replay", "key": "grok"}, "settings"),
        (Scope.TRADE, "post", "capital/requests/", {"instrument": "BTC", "amount": "1"}, "capital"),
        (Scope.CAPITAL, "patch", "positions/1/exits/", {"stop_price": "1"}, "trade"),
    ],
)
def test_a_token_without_the_scope_is_told_which(
    portfolio: Portfolio, alice: User, held: Scope, method: str, rest: str, body: Any, missing: str
) -> None:
    """API-1: 403 names the scope; nothing was done."""
    client = token_client(alice, held)
    call = getattr(client, method)
    headers = {"Idempotency-Key": "one"}
    answer = call(url_of(portfolio, rest), body, content_type="application/json", headers=headers)
    assert answer.status_code == 403
    said = problem(answer)
    assert (said["type"], said["scope"]) == ("urn:ensemble:problem:missing-scope", missing)
    assert f"“{missing}”" in said["detail"]
    assert Command.objects.count() == 0
    portfolio.refresh_from_db()
    assert portfolio.status == "active"


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/api/v1/credentials/", "keys"), ("/api/v1/agents/", "agents"), ("/api/v1/tokens/", "keys")],
)
def test_keys_and_agents_are_not_read_with_the_scope_to_read(alice: User, path: str, scope: str) -> None:
    """SEC-1: looking at portfolios opens no view of keys, agents and tokens."""
    assert problem(token_client(alice, Scope.READ).get(path))["scope"] == scope
    assert token_client(alice, Scope(scope)).get(path).status_code == 200


def test_the_scope_is_enough(portfolio: Portfolio, alice: User) -> None:
    """API-1: with the one scope it asks for, the emergency stop is accepted."""
    answer = post_json(token_client(alice, Scope.TRADE), url_of(portfolio, "emergency-stop/"), STOP)
    assert answer.status_code == 202
    assert Command.objects.get().kind == "emergency_stop"


def test_a_token_for_one_portfolio_reaches_no_other(portfolio: Portfolio, alice: User) -> None:
    """SEC-1: the other is not there, the list holds one, and nothing beyond portfolios is opened."""
    from tests.api.making import portfolio_make

    other = portfolio_make(owner=alice, name="Another")
    client = token_client(alice, portfolio=portfolio)
    assert [entry["id"] for entry in client.get(LIST).json()["results"]] == [portfolio.pk]
    assert client.get(url_of(portfolio)).status_code == 200
    assert problem(client.get(url_of(other)))["status"] == 404
    assert client.get(url_of(other, "orders/")).status_code == 404
    for path in ("/api/v1/credentials/", "/api/v1/agents/", "/api/v1/tokens/"):
        assert problem(client.get(path))["type"] == "urn:ensemble:problem:not-allowed"
    assert problem(post_json(client, LIST, {"name": "Third"}))["status"] == 403
    assert Portfolio.objects.count() == 2


def test_the_password_makes_a_token_with_the_scopes_asked_for(portfolio: Portfolio) -> None:
    """API-1: scopes, life and portfolio as asked; each shown in the list, the token itself never again."""
    body = {"email": "alice@example.com", "password": CAST_PASSWORD, "scopes": ["trade", "keys", "trade"]}
    made = post_json(Client(), TOKEN, {**body, "days": 2, "portfolio_id": portfolio.pk}).json()
    assert made["scopes"] == ["trade", "keys"]
    kept = ApiToken.objects.get()
    assert (kept.portfolio_id, kept.name) == (portfolio.pk, "")
    assert 1.9 < (kept.token.expiry - utc_now()).total_seconds() / 86400 <= 2
    answer = post_json(Client(), TOKEN, {**body, "scopes": ["all"]})
    assert list(problem(answer)["errors"]) == ["scopes.0"]
    foreign = post_json(Client(), TOKEN, {**body, "portfolio_id": portfolio.pk + 1})
    assert foreign.status_code == 404


def test_a_token_is_listed_and_ended(alice: User, charlie: User) -> None:
    """API-1: the list says which one asks; a stranger's number is not found; an ended one opens nothing."""
    keeper, gone = token_client(alice, Scope.KEYS), token_client(alice, Scope.READ)
    listed = keeper.get("/api/v1/tokens/").json()["results"]
    assert [(entry["scopes"], entry["current"]) for entry in listed] == [(["keys"], True), (["read"], False)]
    assert "token" not in listed[0]
    address = f"/api/v1/tokens/{listed[1]['id']}/"
    assert token_client(charlie).delete(address).status_code == 404
    assert gone.get(LIST).status_code == 200
    assert keeper.delete(address).status_code == 204
    assert gone.get(LIST).status_code == 401
    assert AuditEntry.objects.filter(action="token.revoke").get().actor_name == "alice@example.com"


def test_the_use_of_a_token_is_remembered(alice: User) -> None:
    """API-1: to the minute, so that an unused one can be told."""
    client = token_client(alice)
    assert ApiToken.objects.get().last_used_at is None
    before = utc_now()
    client.get(LIST)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    assert first >= before
    client.get(LIST)
    assert ApiToken.objects.get().last_used_at == first


def test_named_tokens_never_make_room(alice: User) -> None:
    """API-1: programs that sign in again and again end no token that a person made."""
    named = token_client(alice)
    ApiToken.objects.update(name="Grafana")
    body = {"email": alice.email, "password": CAST_PASSWORD}
    for _ in range(SIGN_INS_MOST + 1):
        assert post_json(Client(), TOKEN, body).status_code == 200
    assert ApiToken.objects.filter(owner=alice, name="").count() == SIGN_INS_MOST
    assert named.get(LIST).status_code == 200


def test_a_session_needs_no_scope(portfolio: Portfolio, alice: User, client_of: Any) -> None:
    """API-1: the pages do everything with the session."""
    assert client_of(alice).get(reverse("api:tokens")).status_code == 200
