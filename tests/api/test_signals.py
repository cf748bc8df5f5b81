"""A strategy's signals over the API (SIG-1, API-1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import Portfolio, User
from allocation.models import Follow
from tests.api.conftest import post_json, problem, url_of
from tests.api.making import WORLD_START, portfolio_make
from traders.models import StrategySignal


@pytest.fixture
def follow(portfolio: Portfolio) -> Follow:
    """The follow of the portfolio, with six more signals of its trader."""
    follow = Follow.objects.get()
    StrategySignal.objects.all().delete()
    StrategySignal.objects.bulk_create(
        StrategySignal(
            trader=follow.trader,
            run=1,
            at=WORLD_START + timedelta(minutes=5 * place),
            code=code,
            side=side,
            reason="2 of 3 say so.",
            readings={"rsi": 25.5, "vwap": None},
            price="107310.5" if place else None,
            quantity="0.00500" if side == "BUY" else 0,
            outcome="0.005 BTC bought at 107310.5" if side == "BUY" else "nothing to do",
        )
        for place, side in enumerate(("HOLD", "BUY", "HOLD"))
        for code in ("BTC", "ETH")
    )
    return follow


def test_signals_come_newest_first_with_reason_and_readings(
    api: Client, portfolio: Portfolio, follow: Follow
) -> None:
    """SIG-1: decimals as strings, floats of indicators as numbers, null where there was none."""
    results = api.get(url_of(portfolio, f"follows/{follow.pk}/signals/")).json()["results"]
    assert [(row["code"], row["side"]) for row in results] == [
        ("ETH", "HOLD"),
        ("BTC", "HOLD"),
        ("ETH", "BUY"),
        ("BTC", "BUY"),
        ("ETH", "HOLD"),
        ("BTC", "HOLD"),
    ]
    bought = results[3]
    assert {name: bought[name] for name in bought if name not in {"id", "at"}} == {
        "run": 1,
        "code": "BTC",
        "side": "BUY",
        "reason": "2 of 3 say so.",
        "readings": {"rsi": 25.5, "vwap": None},
        "price": "107310.5",
        "quantity": "0.005",
        "outcome": "0.005 BTC bought at 107310.5",
    }
    assert results[5]["price"] is None


def test_signals_are_filtered_and_paged(api: Client, portfolio: Portfolio, follow: Follow) -> None:
    """By instrument, side and time of the world."""
    url = url_of(portfolio, f"follows/{follow.pk}/signals/")
    assert len(api.get(f"{url}?code=BTC&side=BUY,SELL").json()["results"]) == 1
    since = (WORLD_START + timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(api.get(f"{url}?since={since}").json()["results"]) == 2
    page = api.get(f"{url}?limit=4").json()
    assert (len(page["results"]), len(api.get(page["next"]).json()["results"])) == (4, 2)


def test_outsiders_and_other_numbers_find_nothing(
    api: Client,
    portfolio: Portfolio,
    follow: Follow,
    charlie: User,
    api_of: Callable[[User], Client],
) -> None:
    """SEC-1: someone else's follow and one that is not there answer alike."""
    url = url_of(portfolio, f"follows/{follow.pk}/signals/")
    assert api_of(charlie).get(url).status_code == 404
    assert api.get(url_of(portfolio, "follows/999999/signals/")).status_code == 404
    assert Client().get(url).status_code == 401


def test_a_strategy_is_followed_by_its_key(api: Client, alice: User) -> None:
    """FOL-3: an unknown set is refused with the known ones, and nothing is followed."""
    fresh = portfolio_make(owner=alice, name="Fresh")
    url = url_of(fresh, "follows/")
    refused = problem(post_json(api, url, {"kind": "strategy", "key": "rsi_macd_vwap:moon"}))
    assert refused["status"] == 400
    assert refused["errors"]["key"][0].startswith(
        "Strategy rsi_macd_vwap has no set of pairs named “moon”. Known: rsi_macd_vwap:coinbase_2018, "
    )
    assert not Follow.objects.filter(portfolio=fresh).exists()
    made = post_json(api, url, {"kind": "strategy", "key": "rsi_macd_vwap:coinbase_2018"})
    assert made.status_code == 201
    assert made.json()["trader"]["kind"] == "strategy"
    assert made.json()["trader"]["world"] == "replay:coinbase_2018"
