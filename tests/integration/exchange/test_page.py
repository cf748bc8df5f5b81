"""Adding an exchange account from the page: the owner's own keys, and nobody else's (FOL-2, FOL-3)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Credential, Portfolio, User
from allocation.models import Follow
from core.clock import utc_now
from engine.portfolios import portfolio_open
from tests.loopback.running import ExchangesProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instruments")]
Keys = Callable[..., Credential]


def portfolio_of(owner: Any) -> Portfolio:
    return portfolio_open(
        owner=owner, initial_cash=Decimal(10_000), now=utc_now(), name="Mine", policy="perp"
    )


def add_page(portfolio: Portfolio) -> str:
    return reverse("dashboard:trader_add", args=[portfolio.pk])


def test_ones_own_account_is_chosen_previewed_and_followed(
    exchanges: ExchangesProcess, alice: User, client_of: Callable[[Any], Client], key_of: Keys
) -> None:
    """From the list of keys to the follow, without anything secret on any page."""
    page, portfolio, credential = client_of(alice), portfolio_of(alice), key_of(alice, "kraken")
    key = f"kraken:{credential.pk}"
    listed = page.get(add_page(portfolio)).content.decode()
    assert "My kraken" in listed
    assert f"?kind=exchange&amp;key={key.replace(':', '%3A')}" in listed
    shown = page.get(add_page(portfolio), {"kind": "exchange", "key": key})
    assert shown.status_code == 200
    text = shown.content.decode()
    assert "$40,301.15" in text
    assert "Without any price, and not counted: KFEE." in text
    token = shown.context["follow"]["token"].value()
    answer = page.post(
        add_page(portfolio), {"kind": "exchange", "key": key, "join_mode": "new_only", "token": token}
    )
    assert answer.status_code == 302
    (follow,) = Follow.objects.filter(portfolio=portfolio)
    assert follow.trader.credential == credential


def test_another_persons_account_is_neither_listed_nor_previewed_nor_followed(
    exchanges: ExchangesProcess,
    alice: User,
    charlie: User,
    client_of: Callable[[Any], Client],
    key_of: Keys,
) -> None:
    """Charlie sees no key of Alice's and gets nowhere with its number; the venue is not asked."""
    key = f"kraken:{key_of(alice, 'kraken').pk}"
    page, portfolio = client_of(charlie), portfolio_of(charlie)
    assert "My kraken" not in page.get(add_page(portfolio)).content.decode()
    refused = page.get(add_page(portfolio), {"kind": "exchange", "key": key})
    assert refused.status_code == 400
    assert "There is no exchange account" in refused.content.decode()
    token = page.get(add_page(portfolio), {"kind": "replay", "key": "deepseek-chat-v3.1"}).context["follow"][
        "token"
    ]
    data = {"kind": "exchange", "key": key, "join_mode": "new_only", "token": token.value()}
    assert page.post(add_page(portfolio), data).status_code == 400
    assert page.get(add_page(portfolio_of(alice))).status_code == 404
    assert not Follow.objects.exists()
    assert exchanges.stats()["asked"] == {}


def test_a_key_that_is_not_used_any_more_says_so(
    exchanges: ExchangesProcess, alice: User, client_of: Callable[[Any], Client], key_of: Keys
) -> None:
    """One that has come to do more is listed with the reason, and reads nothing."""
    credential = key_of(alice, "binance", check_error="it may withdraw now")
    page, portfolio = client_of(alice), portfolio_of(alice)
    assert "Not used any more: it may withdraw now" in page.get(add_page(portfolio)).content.decode()
    refused = page.get(add_page(portfolio), {"kind": "exchange", "key": f"binance:{credential.pk}"})
    assert refused.status_code == 400
    assert exchanges.stats()["asked"] == {}
