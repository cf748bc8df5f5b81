"""The cast with portfolios, and clients that speak to the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.domain.scopes import Scope
from accounts.models import Portfolio, User
from tests.api.making import decision_make, follow_make, portfolio_make, trader_make
from tests.tokens import token_of

LIST = "/api/v1/portfolios/"


@pytest.fixture
def portfolio(alice: User) -> Portfolio:
    """Alice's portfolio, following one trader, with one decision."""
    made = portfolio_make(owner=alice)
    follow = follow_make(portfolio=made, trader=trader_make())
    decision_make(portfolio=made, follow=follow)
    return made


@pytest.fixture
def bobs(bob: User) -> Portfolio:
    """Bob has one of his own."""
    return portfolio_make(owner=bob, name="Bob's")


@pytest.fixture
def api_of() -> Callable[[User], Client]:
    """Return a function: user → a client that sends that user's API token and JSON."""

    def with_token(user: User) -> Client:
        return token_client(user)

    return with_token


@pytest.fixture
def api(alice: User, api_of: Callable[[User], Client]) -> Client:
    """Alice's client."""
    return api_of(alice)


def token_client(user: User, *scopes: Scope, portfolio: Portfolio | None = None) -> Client:
    """Return a client with a token of its own; with no scope named it may do everything."""
    token = token_of(user, *scopes, portfolio=portfolio)
    return Client(headers={"Authorization": f"Token {token}", "Accept": "application/json"})


def problem(response: Any) -> dict[str, Any]:
    """Return the body of an error, having checked that it is problem+json of its own status."""
    assert response.headers["Content-Type"].startswith("application/problem+json"), response.content
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["type"].startswith("urn:ensemble:problem:")
    assert body["title"]
    assert body["detail"]
    return body


def url_of(portfolio: Portfolio | int, rest: str = "") -> str:
    """Return the address of a portfolio, or of something below it."""
    return f"{LIST}{portfolio if isinstance(portfolio, int) else portfolio.pk}/{rest}"


def post_json(client: Client, url: str, body: Any) -> Any:
    """POST a JSON body."""
    return client.post(url, body, content_type="application/json")


def patch_json(client: Client, url: str, body: Any) -> Any:
    """PATCH with a JSON body."""
    return client.patch(url, body, content_type="application/json")
