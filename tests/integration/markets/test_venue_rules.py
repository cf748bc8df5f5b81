"""Rules of trading venues: read from the venue's own list to the last digit, never lost by a bad answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from core.errors import BadAnswer, InputError, NotFound, RetryLater
from markets.models import LIVE, Instrument, VenueInstrument
from markets.services import marks_write, world_ensure
from markets.venue_rules import (
    venue_instrument_get,
    venue_instruments_for,
    venue_rules_keep,
    venue_rules_refresh,
    venue_symbol,
)
from tests.loopback.exchange_line import Answer, LoopbackExchange, Seen
from tests.loopback.venue_markets import HYPERLIQUID, PERP, SPOT, exchange_info, meta_and_contexts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


class Lists(LoopbackExchange):
    """Answers with lists of markets alone; `books` are the lists."""

    def books_new(self) -> dict[str, Any]:
        return {
            "api.binance.com/api/v3/exchangeInfo": exchange_info(SPOT, server_ms=1),
            "fapi.binance.com/fapi/v1/exchangeInfo": exchange_info(PERP, server_ms=1),
            "demo-fapi.binance.com/fapi/v1/exchangeInfo": exchange_info(PERP[:1], server_ms=1),
            "api.binance.com/api/v3/ticker/price": [{"symbol": "BTCUSDT", "price": "50000.00000000"}],
            "fapi.binance.com/fapi/v1/ticker/price": [
                {"symbol": "BTCUSDT", "price": "50000.00", "time": 1},
                {"symbol": "1000PEPEUSDT", "price": "0.0070000", "time": 1},
            ],
            "api.hyperliquid.xyz/info": meta_and_contexts(HYPERLIQUID),
        }

    def answer(self, seen: Seen) -> Answer:
        return Answer(self.books[f"{seen.host}{seen.path}"])


@pytest.fixture(scope="module")
def server() -> Iterator[Lists]:
    lists = Lists()
    yield lists
    lists.stop()


@pytest.fixture
def lists(server: Lists, settings: Any) -> Lists:
    server.reset()
    settings.EXCHANGE_GATEWAY = server.url
    for code, step in (
        ("BTC", "0.00001"),
        ("ETH", "0.0001"),
        ("DOGE", "1"),
        ("kPEPE", "1"),
        ("PAXG", "0.001"),
    ):
        thousand = code.startswith("k")
        Instrument.objects.create(
            code=code,
            underlying=code.removeprefix("k"),
            multiplier=1000 if thousand else 1,
            quantity_step=D(step),
            price_places=1,
            max_leverage=10,
        )
    return server


def refresh(
    venue: str = "binance", policy: str = "perp", *, sandbox: bool = False, now: datetime = NOW
) -> int:
    return venue_rules_refresh(venue=venue, sandbox=sandbox, policy=policy, now=now)


def specs(venue: str = "binance", policy: str = "perp", **more: Any) -> dict[str, Any]:
    return venue_instruments_for(venue=venue, sandbox=False, policy=policy, **more)


def test_binance_perpetuals_keep_their_own_steps(lists: Lists) -> None:
    assert refresh() == 5
    rules = specs()
    assert sorted(rules) == ["BTC", "DOGE", "ETH", "PAXG", "kPEPE"]
    btc = rules["BTC"]
    assert (btc.quantity_step, btc.price_step, btc.min_quantity, btc.max_quantity, btc.min_notional) == (
        D("0.001"),
        D("0.1"),
        D("0.001"),
        D(1000),
        D(100),
    )
    assert (btc.quote, btc.max_leverage) == ("USDT", 10)  # the venue names none, ours counts
    assert (rules["kPEPE"].multiplier, rules["kPEPE"].price_step) == (D(1000), D("0.0000001"))
    assert venue_symbol(venue="binance", sandbox=False, policy="perp", code="kPEPE") == "1000PEPE/USDT:USDT"
    assert [seen.path for seen in lists.asked()] == ["/fapi/v1/exchangeInfo", "/fapi/v1/ticker/price"]


def test_a_tick_that_is_no_power_of_ten(lists: Lists) -> None:
    refresh()
    gold = specs()["PAXG"]
    assert gold.price_step == D("0.25")
    assert gold.price(D("2000.30"), up=False) == D("2000.25")
    assert gold.price(D("2000.30"), up=True) == D("2000.50")
    assert gold.price(D("2000.50"), up=True) == D("2000.50")
    assert gold.price_smallest == D("0.25")


def test_spot_has_one_market_per_coin_and_quote(lists: Lists) -> None:
    assert refresh(policy="spot") == 2  # SOL is no instrument here, ETH/BTC is not paid in dollars
    assert specs(policy="spot")["BTC"].quote == "USDT"
    assert {code: spec.quote for code, spec in specs(policy="spot", quote="USDC").items()} == {"BTC": "USDC"}
    found = venue_instrument_get(venue="binance", sandbox=False, policy="spot", code="BTC", quote="USDC")
    assert (found.market_id, found.symbol, found.taker_fee) == ("BTCUSDC", "BTC/USDC", D("0.001"))
    with pytest.raises(NotFound, match="no market for ETH in USDC"):
        venue_symbol(venue="binance", sandbox=False, policy="spot", code="ETH", quote="USDC")


def test_hyperliquid_counts_significant_digits(lists: Lists) -> None:
    assert refresh("hyperliquid") == 4
    rules = specs("hyperliquid")
    btc = rules["BTC"]
    assert (btc.quantity_step, btc.price_step, btc.price_places, btc.price_digits) == (
        D("0.00001"),
        None,
        1,
        5,
    )
    assert (btc.min_notional, btc.quote, btc.max_leverage) == (D(10), "USDC", 10)  # never above what we allow
    row = VenueInstrument.objects.get(venue="hyperliquid", instrument="kPEPE")
    assert (row.market_id, row.asset_number, row.symbol) == ("kPEPE", 3, "KPEPE/USDC:USDC")
    assert [seen.json for seen in lists.asked()] == [{"type": "metaAndAssetCtxs"}]


def test_the_sandbox_is_another_place(lists: Lists) -> None:
    assert refresh(sandbox=True) == 1
    assert lists.asked()[0].host == "demo-fapi.binance.com"
    assert specs() == {}
    assert set(venue_instruments_for(venue="binance", sandbox=True, policy="perp")) == {"BTC"}


def test_a_market_that_goes_away_stays_inactive(lists: Lists) -> None:
    refresh()
    lists.books["fapi.binance.com/fapi/v1/exchangeInfo"]["symbols"] = [
        row | ({"status": "SETTLING"} if row["baseAsset"] == "ETH" else {}) for row in PERP[:4]
    ]
    assert refresh(now=NOW + timedelta(days=1)) == 4
    assert sorted(specs()) == ["BTC", "DOGE", "kPEPE"]
    assert VenueInstrument.objects.filter(active=False).count() == 2
    assert venue_symbol(venue="binance", sandbox=False, policy="perp", code="ETH") == "ETH/USDT:USDT"


@pytest.mark.parametrize(
    "symbols", [[], PERP[:1], [{"symbol": "BTCUSDT"}], [PERP[0] | {"filters": [{"filterType": "LOT_SIZE"}]}]]
)
def test_a_poor_list_is_not_believed(lists: Lists, symbols: list[Any]) -> None:
    refresh()
    before = list(VenueInstrument.objects.order_by("pk").values())
    lists.books["fapi.binance.com/fapi/v1/exchangeInfo"]["symbols"] = symbols
    with pytest.raises(BadAnswer):
        refresh(now=NOW + timedelta(days=1))
    assert list(VenueInstrument.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(("kind", "status"), [("cut", 0), ("half", 0), ("nonsense", 0), ("status", 503)])
@pytest.mark.parametrize("venue", ["binance", "hyperliquid"])
def test_a_bad_line_changes_nothing(lists: Lists, venue: str, kind: str, status: int) -> None:
    refresh(venue)
    before = list(VenueInstrument.objects.order_by("pk").values())
    lists.fault(kind, status=status)
    with pytest.raises(RetryLater):
        refresh(venue, now=NOW + timedelta(days=1))
    assert list(VenueInstrument.objects.order_by("pk").values()) == before


def marks(now: datetime, **prices: str) -> None:
    world = world_ensure(name=LIVE, now=now)
    marks_write(world=world, prices={k: D(v) for k, v in prices.items()}, quoted_at=now, received_at=now)


def test_another_coin_of_the_same_name_is_not_traded(lists: Lists) -> None:
    marks(NOW, BTC="49000", kPEPE="0.0031")
    refresh()
    assert sorted(specs()) == ["BTC", "DOGE", "ETH", "PAXG"]
    marks(NOW + timedelta(hours=7), BTC="30000", kPEPE="0.0069")
    assert venue_rules_keep(now=NOW + timedelta(hours=7)) == []
    assert sorted(specs()) == ["DOGE", "ETH", "PAXG", "kPEPE"]
    refresh(now=NOW + timedelta(days=1))  # no fresh mark says anything
    assert sorted(specs()) == ["BTC", "DOGE", "ETH", "PAXG", "kPEPE"]


def test_rules_are_kept_fresh(lists: Lists) -> None:
    refresh()
    refresh("hyperliquid", now=NOW + timedelta(hours=5))
    lists.seen.clear()
    assert venue_rules_keep(now=NOW + timedelta(hours=5)) == []
    assert lists.asked() == []
    lists.fault("cut")
    (failed,) = venue_rules_keep(now=NOW + timedelta(hours=7))
    assert failed.startswith("binance perp: ")
    assert venue_rules_keep(now=NOW + timedelta(hours=7)) == []
    assert VenueInstrument.objects.get(venue="binance", instrument="BTC").read_at == NOW + timedelta(hours=7)
    assert VenueInstrument.objects.get(venue="hyperliquid", instrument="BTC").read_at == NOW + timedelta(
        hours=5
    )


def test_what_is_not_traded_here_is_refused(lists: Lists) -> None:
    with pytest.raises(InputError, match="perpetuals only"):
        refresh("hyperliquid", "spot")
    with pytest.raises(InputError, match="no exchange"):
        refresh("nowhere")
    assert lists.asked() == []


def test_a_price_has_one_rule(lists: Lists) -> None:
    refresh()
    row = VenueInstrument.objects.get(instrument="BTC")
    row.price_digits, row.price_places = 5, 1
    with pytest.raises(IntegrityError, match="one_price_rule"), transaction.atomic():
        row.save()
