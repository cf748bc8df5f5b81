"""The budget in front of every request to an exchange, and what its answers say about it (SYN-3)."""

import asyncio
import time
from typing import Any

import pytest
import redis

from accounts.sealing import AccountKeys
from core.errors import RetryLater
from markets.budget import BudgetExhausted, BudgetNow, BudgetPriority, asking
from markets.budget_figures import budget_counts_read, budgets_read
from markets.exchange_meter import ExchangeMeter, ExchangeMeterNow
from markets.exchanges import exchange_make
from markets.venue_limits import VenueRequest, charges_of
from tests.integration.exchange.conftest import SECRET
from tests.loopback.running import ExchangesProcess

KEYS = AccountKeys(api_key="key-of-binance", secret=SECRET)
ACCOUNT = "GET api.binance.com/api/v3/account"


def request(venue: str, section: str, path: str, method: str = "GET", **more: Any) -> VenueRequest:
    return VenueRequest(venue=venue, section=section, path=path, method=method, **more)


@pytest.mark.parametrize(
    ("asked", "costs"),
    [
        (request("binance", "private", "account", cost=4), {"binance": 20}),
        (request("binance", "public", "ticker/price", cost=0.4), {"binance": 4}),
        (request("binance", "public", "exchangeInfo", cost=4), {"binance": 20}),
        (request("binance", "private", "order", "POST", cost=0.2), {"binance": 1, "binance:orders": 1}),
        (request("binance", "fapiPrivateV3", "positionRisk", cost=1), {"binance:usdm": 5}),
        (
            request("binance", "fapiPrivate", "order", "POST", cost=4),
            {"binance:usdm": 4, "binance:usdm:orders": 1},
        ),
        (request("binance", "dapiPrivate", "account", cost=5), {"binance:coinm": 5}),
        (request("binance", "sapi", "account/apiRestrictions", cost=0.1), {"binance:sapi": 1}),
        (request("bybit", "private", "v5/position/list", cost=1), {"bybit": 1, "bybit:private": 1}),
        (request("bybit", "public", "v5/market/tickers", cost=5), {"bybit": 1}),
        (request("coinbase", "v3 private", "brokerage/accounts"), {"coinbase:private": 1}),
        (request("coinbase", "v3 public", "brokerage/market/products", cost=3), {"coinbase": 1}),
        (request("kraken", "private", "Balance", "POST", cost=3), {"kraken:private": 1}),
        (request("kraken", "private", "TradesHistory", "POST", cost=6), {"kraken:private": 2}),
        (request("kraken", "private", "AddOrder", "POST", cost=0), {"kraken:orders": 1}),
        (request("kraken", "public", "Ticker"), {"kraken": 1}),
        (request("hyperliquid", "public", "info", "POST", params={"type": "allMids"}), {"hyperliquid": 2}),
        (request("hyperliquid", "public", "info", "POST", params={"type": "meta"}), {"hyperliquid": 20}),
        (
            request("hyperliquid", "private", "exchange", "POST", params={"action": {"orders": [{}] * 79}}),
            {"hyperliquid": 2, "hyperliquid:orders": 1},
        ),
        (request("bitstamp", "private", "balance", "POST", cost=2, every_ms=75), {"bitstamp": 2}),
    ],
)
def test_a_request_costs_what_its_venue_documents(asked: VenueRequest, costs: dict[str, float]) -> None:
    """By bucket: of the address, and of the account where it counts so."""
    charged = charges_of(asked)
    assert {charge.bucket: pytest.approx(charge.weight) for charge in charged} == costs
    assert all(charge.per_account == charge.bucket.endswith((":orders", ":private")) for charge in charged)


@pytest.fixture
def client(exchanges: ExchangesProcess) -> Any:
    """A metered client for threads."""
    meter = ExchangeMeterNow()
    client = exchange_make(venue="binance", keys=KEYS)
    yield meter.attach(client, account="7")
    client.session.close()
    meter.close()


def left(redis_client: redis.Redis, venue: str) -> float:
    (figure,) = (figure for figure in budgets_read(client=redis_client) if figure.venue == venue)
    return figure.used_ratio


def test_both_kinds_of_client_pay_from_one_budget(client: Any, redis_client: redis.Redis) -> None:
    """Of the burst of 500 a read of an account takes 20, whichever kind of client asks."""

    async def loop() -> None:
        meter = ExchangeMeter()
        other = meter.attach(exchange_make(venue="binance", keys=KEYS, asynchronous=True), account="8")
        await other.request("account", ["private"], "GET", {})
        await other.close()
        await meter.close()

    with asking(priority=BudgetPriority.EXIT):
        client.request("account", ["private"], "GET", {})
        used_once = left(redis_client, "binance")
        asyncio.run(loop())
    assert 0 < used_once <= 0.04
    assert budget_counts_read(client=redis_client).waits == {}
    assert [figure.venue for figure in budgets_read(client=redis_client)] == ["binance"]


def test_a_venues_own_count_lowers_the_budget(
    client: Any, exchanges: ExchangesProcess, redis_client: redis.Redis
) -> None:
    """X-MBX-USED-WEIGHT-1M: others behind our address have used the whole minute, so we wait for the next."""
    exchanges.script(headers={"api.binance.com": {"X-MBX-USED-WEIGHT-1M": "6000"}})
    client.request("account", ["private"], "GET", {})
    with asking(priority=BudgetPriority.EXIT, max_wait_s=0), pytest.raises(BudgetExhausted) as told:
        client.request("account", ["private"], "GET", {})
    assert exchanges.stats()["asked"] == {ACCOUNT: 1}
    assert told.value.retry_after_s is not None
    assert told.value.retry_after_s <= 61


@pytest.mark.parametrize(
    ("status", "headers", "body", "pause_s"),
    [
        ("429", {"Retry-After": "17"}, {"code": -1003, "msg": "Too many requests."}, 17),
        ("418", {"Retry-After": "900"}, {"code": -1003, "msg": "Way too many requests."}, 900),
        ("418", {}, {"code": -1003, "msg": "IP banned until {until_ms}."}, 300),
        ("418", {}, {"code": -1003, "msg": "Way too many requests."}, 120),
        ("429", {}, {"code": -1003, "msg": "Too many requests."}, 0),
        ("418", {"Retry-After": "99999999"}, {"code": -1003, "msg": "Long."}, 3 * 86400),
    ],
)
def test_a_pause_that_a_venue_asks_for_is_kept_by_all(
    client: Any,
    exchanges: ExchangesProcess,
    redis_client: redis.Redis,
    status: str,
    headers: dict[str, str],
    body: dict[str, Any],
    pause_s: float,
) -> None:
    """429 and bans: nobody asks again before the time is over, an exit neither."""
    from ccxt.base.errors import BaseError

    said = str(body["msg"]).replace("{until_ms}", str(int((time.time() + 300) * 1000)))
    rule = {"path": "account", "do": status, "headers": headers, "body": {**body, "msg": said}}
    exchanges.script(rules=[rule])
    with pytest.raises(BaseError):
        client.request("account", ["private"], "GET", {})
    (figure,) = budgets_read(client=redis_client)
    assert figure.paused_s == pytest.approx(pause_s, abs=3)
    assert figure.used_ratio >= (0.9 if pause_s == 0 else 1)
    if pause_s:
        with asking(priority=BudgetPriority.EXIT, max_wait_s=5), pytest.raises(BudgetExhausted):
            client.request("account", ["private"], "GET", {})
        assert exchanges.stats()["asked"] == {ACCOUNT: 1}


def test_an_error_that_is_no_limit_pauses_nothing(
    client: Any, exchanges: ExchangesProcess, redis_client: redis.Redis
) -> None:
    """A failing server is asked again, and one person's refused key is nobody else's pause."""
    from ccxt.base.errors import BaseError

    refused = {"path": "account", "do": "401", "body": {"code": -2015, "msg": "Invalid API-key."}}
    for rule in ({"path": "account", "do": "500"}, refused):
        client.request("account", ["private"], "GET", {})  # the key has worked, which ccxt remembers
        exchanges.script(rules=[rule])
        with pytest.raises(BaseError):
            client.request("account", ["private"], "GET", {})
        exchanges.script(rules=[])
    (figure,) = budgets_read(client=redis_client)
    assert figure.paused_s == 0
    assert figure.used_ratio < 0.2


def test_what_cannot_be_sent_is_given_back(exchanges: ExchangesProcess, redis_client: redis.Redis) -> None:
    """An order that finds no room in its account's budget leaves the address's as it was."""
    from markets.venue_limits import ACCOUNT_LIMITS, ADDRESS_LIMITS

    mine = BudgetNow(venue="binance:orders", account="7", allowance=ACCOUNT_LIMITS["binance:orders"])
    mine.pause(for_s=60)
    address = BudgetNow(venue="binance", allowance=ADDRESS_LIMITS["binance"])
    address.pause(for_s=0)  # nothing to burst
    meter = ExchangeMeterNow()
    client = meter.attach(exchange_make(venue="binance", keys=KEYS), account="7")
    with asking(priority=BudgetPriority.EXIT, max_wait_s=0.1), pytest.raises(BudgetExhausted):
        client.request("order", ["private"], "POST", {"symbol": "BTCUSDT"})
    assert exchanges.stats()["asked"] == {}
    assert address.take(1, max_wait_s=0.2, priority=BudgetPriority.EXIT) < 0.2
    client.session.close()
    for budget in (mine, address):
        budget.close()
    meter.close()


def test_without_redis_nothing_is_sent_and_after_sending_nothing_is_undone(
    exchanges: ExchangesProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No budget, no request; but a budget that is lost after the request does not make it fail."""
    meter = ExchangeMeterNow(redis_url="redis://127.0.0.1:1/0")
    client = meter.attach(exchange_make(venue="binance", keys=KEYS), account="7")
    with pytest.raises(RetryLater, match="budget in Redis cannot be reached"):
        client.request("account", ["private"], "GET", {})
    assert exchanges.stats()["asked"] == {}
    exchanges.script(headers={"api.binance.com": {"X-MBX-USED-WEIGHT-1M": "10"}})
    monkeypatch.setattr(BudgetNow, "take", lambda *_, **__: 0.0)
    assert client.request("account", ["private"], "GET", {})["balances"]
    client.session.close()
    meter.close()
