"""A strategy on the pages: preview, follow, and its signals with their reasons (FOL-1, SIG-1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from engine.follows import follow_start
from engine.selectors import portfolio_view
from engine.syncing import strategies_run
from markets.recordings import COINBASE_2018
from markets.services import world_ensure
from traders.models import StrategySignal

KEY = "rsi_macd_vwap:coinbase_2018"


@pytest.fixture
def world(db: None) -> None:
    """The world with real candles, 30 hours into its recording."""
    world_ensure(name=COINBASE_2018, now=utc_now() - timedelta(minutes=3), speed=Decimal(600))


@pytest.fixture
def follow(world: None, portfolio: Portfolio) -> Follow:
    """Alice follows a strategy that has decided on 30 hours of candles."""
    follow = follow_start(portfolio=portfolio, kind="strategy", key=KEY, now=utc_now())
    strategies_run(now=utc_now())
    return follow


def signals(client: Client, follow: Follow, **query: str) -> str:
    """Return the text of the page of signals."""
    answer = client.get(reverse("dashboard:follow_signals", args=[follow.portfolio_id, follow.pk]), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_strategy_is_previewed_and_followed(world: None, page: Client, portfolio: Portfolio) -> None:
    """FOL-1: its virtual book and what would be copied; then one press."""
    url = reverse("dashboard:trader_add", args=[portfolio.pk])
    text = page.get(url, {"kind": "strategy", "key": KEY}).content.decode()
    assert "RSI, MACD and VWAP, April 2018" in text
    assert "Strategy on BTC, ETH" in text
    assert "Its own book is virtual: 10,000 at the start" in text
    assert "P&amp;L, since the start of the run" in text
    assert not Follow.objects.exists()
    body = {"kind": "strategy", "key": KEY, "token": str(uuid4()), "join_mode": "new_only"}
    assert page.post(url, body).status_code == 302
    assert Follow.objects.get().trader.key == KEY


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("moon:majors", "There is no strategy named “moon”. Known strategies: average_cross, rsi_macd_vwap."),
        ("average_cross:moon", "Known: average_cross:coinbase_2018."),
    ],
)
def test_an_unknown_one_is_refused(page: Client, portfolio: Portfolio, key: str, said: str) -> None:
    """FOL-3: the sentence names what there is, and nothing is followed."""
    url = reverse("dashboard:trader_add", args=[portfolio.pk])
    answer = page.get(url, {"kind": "strategy", "key": key})
    assert (answer.status_code, said in answer.content.decode()) == (400, True)
    body = {"kind": "strategy", "key": key, "token": str(uuid4()), "join_mode": "new_only"}
    assert page.post(url, body).status_code == 400
    assert not Follow.objects.exists()


def test_signals_are_listed_with_their_reasons(page: Client, follow: Follow) -> None:
    """SIG-1: newest first, each with what was said, why and what its book did; fifty to a page."""
    newest = StrategySignal.objects.order_by("-at", "code").first()
    assert newest is not None
    text = signals(page, follow)
    assert text.count('<th scope="row"') == 50
    assert newest.reason in text
    assert "1 to 50 of" in text
    assert "Only 0 of 3 can tell" in signals(page, follow, page="999")
    traded = signals(page, follow, only="trades")
    count = StrategySignal.objects.exclude(quantity=0).count()
    assert traded.count('<th scope="row"') == count > 0
    assert "bought at" in traded
    assert "Nothing to do" not in traded


def test_a_trader_that_is_no_strategy_has_none(page: Client, portfolio: Portfolio) -> None:
    """The page says why it is empty."""
    other = follow_start(portfolio=portfolio, kind="replay", key="grok-4", now=utc_now())
    assert "Only strategies give signals; Grok 4 is none." in signals(page, other)


def test_signals_are_the_owners_to_see(
    follow: Follow, charlie: Any, client_of: Callable[..., Client]
) -> None:
    """SEC-1: to anybody else the page is not there."""
    url = reverse("dashboard:follow_signals", args=[follow.portfolio_id, follow.pk])
    assert client_of(charlie).get(url).status_code == 404
    assert Client().get(url).status_code == 302


def test_the_card_says_what_was_said_last(follow: Follow, portfolio: Portfolio) -> None:
    """VIEW-1: one side per instrument, by code; nothing for other traders."""
    last = {code: StrategySignal.objects.filter(code=code).latest("at").side for code in ("BTC", "ETH")}
    portfolio.refresh_from_db()
    card = portfolio_view(portfolio=portfolio)["traders"][str(follow.pk)]
    assert card["signals"] == [{"code": code, "side": side} for code, side in last.items()]
